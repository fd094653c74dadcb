"""What a person grants to an app: the request, the launch, the decision, in scopes."""
