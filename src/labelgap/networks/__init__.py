"""Networks with their features and blocks in the open: ResNet, MLP, timm."""
