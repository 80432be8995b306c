"""Methods that ask a variational autoencoder which images look unlabelled: VAAL, TA-VAAL."""
