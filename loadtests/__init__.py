"""Load for Django + Channels projects: Locust users, scenarios, and the lab that compares topologies."""
