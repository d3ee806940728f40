"""What people hold in their hands: libraries that talk to a server's doors, and know only those."""
