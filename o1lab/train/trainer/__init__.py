"""What trains: models, tensors, the trainers of TRL and their callbacks. Only the worker and preflight import it."""
