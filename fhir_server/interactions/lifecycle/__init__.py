"""How Consents come and go: who may write them, who asks for access, and what a broken glass leaves behind."""
