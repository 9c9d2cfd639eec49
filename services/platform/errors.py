"""The root of all errors that are this service's own."""


class TillError(Exception):
    """What this service itself raises.

    Where somebody has to do something about it, the message is a sentence for them.

    The tree, by the folders that raise::

        TillError
        ├── platform
        │   ├── Problem               a request over HTTP that can't be done as it stands
        │   ├── StoreRefused          a store that the caller's token does not allow
        │   ├── TopicsWrong           the topics are not what the wire promises
        │   ├── NoToken               the address of tokens for Kafka gave none (also an OSError)
        │   ├── AccessUnread          the access topic can't be read to its end
        │   ├── AccessUnwritten       the access topic did not take a record (also a ValueError)
        │   └── TopicUnread           a topic can't be read to its end
        ├── sessions
        │   ├── BadRow                a row of a CSV of profiles (also a ValueError)
        │   ├── DatabaseWrong         a database that would lose what it acknowledged (also a ValueError)
        │   ├── Gap                   a batch begins above the frontier
        │   ├── LedgerRestored        the ledger is older than its answers: workers wait for its operator
        │   ├── FenceRefused          another worker has held a newer lock
        │   ├── NotAnswering          a worker's commands wait for too long
        │   ├── LockUnavailable       the lock is required, and could not be had in time
        │   ├── AnswerStuck           an answer can't be published, now or later: the worker stops
        │   ├── BrokerAway            the broker did not take the answers in time
        │   ├── CannotSign            the sweeper has no key to sign its commands with
        │   ├── LedgerMismatch        a row of the ledger that is not as it must be
        │   └── NoReport              a session has no such report
        ├── gateway
        │   ├── Refused               a request to an adapter that can't be done
        │   ├── Pending               a command is on its topic and not answered yet
        │   ├── TooManyFailures       too many wrong passwords
        │   ├── QueueFull             too many passwords wait to be checked
        │   ├── TooManyWaiting        too many requests wait for their answers
        │   ├── NotPublished          the broker did not confirm a command
        │   └── IdempotencyKeyReused  a key that belongs to another request
        ├── reporting
        │   ├── BadQuery              a question that can't be answered (also a ValueError)
        │   ├── CutOff                an export took too long; it is not whole
        │   ├── NoParquet             what writes Parquet is not installed
        │   ├── OffsetsMoved          the tables stand elsewhere than the reader believed
        │   ├── Busy                  tables that are to be swapped are in use for too long at a time
        │   ├── NotSwapped            tables that were made anew don't take the place of the live ones
        │   ├── NoWebhook             there is no such webhook, or it can't be so (also a ValueError)
        │   ├── BadUrl                an address that nothing is pushed to (also a ValueError)
        │   ├── LeaseLost             another sender pushes for this webhook now
        │   └── Unreadable            a record of the closings topic that says nothing (also a ValueError)
        ├── console
        │   ├── NobodySignedIn        a page for people who are signed in
        │   ├── ForeignForm           a form that no page of the console made for this browser
        │   ├── Unfit                 what was filled in can't sign anybody in
        │   ├── Refused               an API refuses what it is asked
        │   ├── Away                  an API does not answer
        │   └── Crowded               there is no line for one more who listens
        └── operations
            ├── NotReady              tables or topics are not yet what a service needs
            └── PrincipalsWrong       Kafka's principals can't be set up so (also a ValueError)

    What runs on the machine of a till has a tree of its own, `services.register.errors.RegisterError`: it is shipped
    without this package. What the wire itself refuses (`contracts.jsontext.Unreadable`, `contracts.commands.Malformed`)
    is a ValueError and none of these: the wire needs no service.
    """
