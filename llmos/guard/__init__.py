"""The guard: labels, policy, approvals, clean text and the offline switch, outside the model."""
