"""Label Studio as the place where people answer: push the asked batch, pull what they said."""
