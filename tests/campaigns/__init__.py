"""Campaigns: kills, full disks, and several processes in one folder."""
