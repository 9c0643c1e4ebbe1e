"""Rollouts of the trained dynamics: compiled loop against a step of the network at a time.

    python benchmarks/rollout.py [--steps 1000] [--starts 64]

k = 8 latents, default sizes. "naive": the torch network in a Python loop over steps, for one
start; "64 starts": all of them in one call, over 64 times that. Processor time of one thread, both
in turn, the fastest of three. Results agree to the rounding of float32.
"""

import argparse
import time

import numpy as np
import torch

import romae
from romae.dynamics.unrolled import roll
from romae.progress import silent

KINDS = ("GRU", "LSTM", "Transformer", "NeuralODE")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--starts", type=int, default=64)
    args = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    z = np.zeros((400, 8))
    for n in range(1, len(z)):
        z[n] = 0.95 * z[n - 1] + 0.3 * rng.standard_normal(8)
    print(f"{'':12} {'naive':>9} {'compiled':>9} {'ratio':>6} {f'{args.starts} starts':>10} ratio")
    for kind in KINDS:
        model = getattr(romae, kind)(updates=1)
        model.history = []
        with silent():
            model._fit([z])
        net = model._network(model.linear, model.bias).float().eval()
        net.load_state_dict({n: torch.from_numpy(getattr(model, n)) for n in net.state_dict()})
        history = np.stack([z[i : i + model.context] for i in range(args.starts)])
        x = torch.zeros(1, model.context - 1 + args.steps, 0)

        def naive(net=net, model=model, history=history, x=x):
            with torch.no_grad():
                start = torch.from_numpy(history[:1]).float()
                return roll(net, start, x, model.context, args.steps, 0.0)

        model._rollout(history[:1], 2)  # compiles
        best = {"naive": np.inf, "one": np.inf, "many": np.inf}
        for _ in range(3):
            calls = {
                "naive": naive,
                "one": lambda m=model, h=history: m._rollout(h[:1], args.steps),
                "many": lambda m=model, h=history: m._rollout(h, args.steps),
            }
            for name, call in calls.items():
                begin = time.process_time()
                call()
                best[name] = min(best[name], time.process_time() - begin)
        one, many = best["naive"] / best["one"], args.starts * best["naive"] / best["many"]
        seconds = f"{best['naive']:7.3f} s {best['one']:7.4f} s"
        print(f"{kind:12} {seconds} {one:6.0f} {best['many']:8.3f} s {many:5.0f}")


if __name__ == "__main__":
    main()
