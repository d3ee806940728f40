"""The tests of Edgekeep: behaviour through public doors."""
