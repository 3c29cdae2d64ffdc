"""What can be done about messages, deliveries and channels. The only modules that write them."""
