"""Any ``nn.Module`` as a layer."""
