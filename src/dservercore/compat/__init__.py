"""What makes weak or old plugins look complete, so that nothing else asks what a plugin can do."""
