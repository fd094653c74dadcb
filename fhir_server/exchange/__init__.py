"""The registries of an exchange of institutions at work beside the server: never on the way of a request.

Of the processes that share a database one does it.  A chain that does not answer neither opens nor closes access: what is
decided here goes on being decided by what stands here, and what has to be told waits.
"""
