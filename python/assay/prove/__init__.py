"""The provider's side: registering a model, recording a request, proving layers."""
