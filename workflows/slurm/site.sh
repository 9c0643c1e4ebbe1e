# Choices of your site: the only file here that has to be edited.
#
# ACCOUNT    options that every job needs, such as --account=project
# CPU        for data, comparison, dynamics, forecast and report
# TRAIN      for each fit; with a GPU for example (--partition=gpu --gres=gpu:1 --cpus-per-task=8)
# DEVICE     auto takes a GPU when the job has one
# activate   makes the `romae` command available on a compute node

ACCOUNT=()
CPU=(--cpus-per-task=2 --mem=8G --time=01:00:00)
TRAIN=(--cpus-per-task=2 --mem=8G --time=04:00:00)
DEVICE=auto

activate() {
    # module load python/3.11
    # source "$HOME/romae/.venv/bin/activate"
    :
}
