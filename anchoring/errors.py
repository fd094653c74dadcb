"""What can go wrong in this room.

AnchoringError
├── MerkleError                 a tree was asked for what it does not have
├── NoSuchTileError             no such path, or the published log does not reach so far
├── ChainError                  the chain could not do its part
│   ├── ChainUnavailableError   no answer: nothing is lost, try again later
│   │   └── MalformedAnswerError  an answer that is none: huge, of other types, or contradicting itself
│   ├── WrongChainError         another chain, genesis or contract than expected: stop
│   ├── AnchorRevertedError     the contract refused the transaction
│   ├── NonceTakenError         another transaction took the nonce: this one can never be mined
│   └── UnknownTransactionError the chain or the bytes hold no such anchor transaction
├── HistoryError                the store and the chain contradict each other: stop and look
├── NotYetAnchoredError         the event is in the log, but no checkpoint covers it yet
├── WitnessSilentError          one of our witnesses did not cosign; the message says why
├── NotCosignedError            too few of our witnesses cosigned: wait, and ask again
├── WitnessRefusal              a checkpoint is not cosigned; ``status`` as C2SP tlog-witness says
│   ├── MalformedSubmissionError     400
│   ├── UnsignedCheckpointError      403
│   ├── UnknownLogError              404
│   ├── StaleCheckpointError         409, with the size that was cosigned last
│   └── ConflictingCheckpointError   409 or 422, with what was cosigned last: evidence
├── AuditFailure                the whole-log recomputation found the first wrong thing
└── VerificationError           a proof was refused; ``step`` names which one
    ├── MalformedReceiptError   step ``receipt``
    ├── CommitmentError         step ``commitment``
    ├── InclusionError          step ``inclusion``
    ├── ConsistencyError        step ``consistency``
    ├── CheckpointError         step ``checkpoint``
    ├── CosignatureError        step ``witnesses``
    └── AnchorError             step ``anchor``

Messages carry sizes, indexes and hashes, never an event.
"""


class AnchoringError(Exception):
    """Anything that this room refuses."""


class MerkleError(AnchoringError):
    """An index or a size lies outside the tree."""


class NoSuchTileError(AnchoringError):
    """It is no tile's path, or the published log has no such tile."""


class ChainError(AnchoringError):
    """The chain could not do its part."""


class ChainUnavailableError(ChainError):
    """The chain gave no answer; nothing is lost, and the same call may be repeated later."""


class MalformedAnswerError(ChainUnavailableError):
    """The node's answer is not one: nothing is known, as if there had been none."""


class WrongChainError(ChainError):
    """Chain id, genesis hash, contract or its code is not the expected one: do not start."""


class AnchorRevertedError(ChainError):
    """The contract refused the transaction, which is in a block and did nothing."""


class NonceTakenError(ChainError):
    """Another transaction of the account took the nonce, so this one can never be mined."""


class UnknownTransactionError(ChainError):
    """These bytes are no anchor transaction."""


class HistoryError(AnchoringError):
    """What the chain holds is not a past state of this log: rewritten, forked or restored."""


class NotYetAnchoredError(AnchoringError):
    """No anchored checkpoint covers the event yet; ask again later."""


class WitnessSilentError(AnchoringError):
    """A witness of our log did not cosign."""


class NotCosignedError(AnchoringError):
    """Fewer witnesses cosigned than the policy asks for: nothing is announced; ask again later."""


class WitnessRefusal(AnchoringError):  # noqa: N818  (an answer, not a fault of ours)
    """A witness does not cosign a checkpoint.

    Attributes:
        status: HTTP status of the answer (C2SP tlog-witness, ``add-checkpoint``).
    """

    status = 400


class MalformedSubmissionError(WitnessRefusal):
    """What was sent is not in the one form that C2SP describes, or asks for less than it has."""


class UnsignedCheckpointError(WitnessRefusal):
    """No key that is trusted for this log signed the checkpoint."""

    status = 403


class UnknownLogError(WitnessRefusal):
    """The witness does not look after a log of this name."""

    status = 404


class StaleCheckpointError(WitnessRefusal):
    """The proof begins at another size than the one that was cosigned last.

    Attributes:
        size: The size that was cosigned last.
    """

    status = 409

    def __init__(self, size: int) -> None:
        super().__init__(f"{size} leaves were cosigned last")
        self.size = size


class ConflictingCheckpointError(WitnessRefusal):
    """The checkpoint does not continue the one that was cosigned last.

    Attributes:
        kept: The note that was cosigned last; empty if none was.
        size: The size that was cosigned last.
    """

    def __init__(self, message: str, kept: str, size: int, status: int = 422) -> None:
        super().__init__(message)
        self.kept = kept
        self.size = size
        self.status = status


class AuditFailure(AnchoringError):  # noqa: N818  (a finding about the log, not a fault of ours)
    """The recomputation of the whole log found the first wrong thing.

    Attributes:
        index: Log index of the first wrong event, or the tree size of the wrong checkpoint.
    """

    def __init__(self, index: int, message: str) -> None:
        super().__init__(message)
        self.index = index


class VerificationError(AnchoringError):
    """A proof was refused.

    Attributes:
        step: Which step of the verification failed.
    """

    step = "receipt"


class MalformedReceiptError(VerificationError):
    """The receipt is not in the one form that is understood, or too large."""


class CommitmentError(VerificationError):
    """The event is not the one that was committed to."""

    step = "commitment"


class InclusionError(VerificationError):
    """The leaf is not in the tree with this root at this index."""

    step = "inclusion"


class ConsistencyError(VerificationError):
    """The newer tree is not the older one with leaves appended."""

    step = "consistency"


class CheckpointError(VerificationError):
    """The signed note is malformed, or a signature that must be there does not verify."""

    step = "checkpoint"


class CosignatureError(VerificationError):
    """A cosignature that must be there is missing or wrong, or too few witnesses cosigned."""

    step = "witnesses"


class AnchorError(VerificationError):
    """The chain, or the anchor transaction, does not say what the receipt says."""

    step = "anchor"
