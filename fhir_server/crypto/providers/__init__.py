"""The key providers: a file or the environment, a PKCS#11 token, a transit engine."""
