"""The sessions service: reads commands, applies them batch by batch, answers each one once.

    main -> consumer -> apply -> store, lock -> decide

`decide` and what it stands on (`book`, `figures`, `closing`, `rights`) know no clock, no network and no database.
"""
