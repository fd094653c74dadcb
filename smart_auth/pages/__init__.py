"""What people see: templates, and the pages that list something."""
