"""What statements and registrations cost: counts that follow from a configuration, and what they come to."""
