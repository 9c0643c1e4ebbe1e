"""Plain ``nn.Module`` building blocks. They know tensors only: no files, no labels."""
