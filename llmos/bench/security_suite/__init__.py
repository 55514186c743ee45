"""The security suite: attacks and ordinary tasks as data, driven through the whole conversation path.

The model of the suite is scripted and fully compromised: it does whatever a text in its prompt
says. So nothing depends on how a model behaves, only on what the program lets it do.
"""
