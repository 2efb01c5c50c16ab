"""From a float model to its exact integer model: calibration, scales, quantised weights."""
