"""What X is: pictures or a table, in memory or in files, behind one door."""
