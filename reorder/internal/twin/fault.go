package twin

// A fault is a mistake planted into the twin by a test that wants to see it found.
type fault string

const (
	noFault               fault = ""
	deadlineEarly         fault = "the hole timer fires a millisecond early"
	deadlineLate          fault = "the hole timer fires a millisecond late"
	timerRestarts         fault = "every held event restarts the hole timer"
	timerInRetry          fault = "the hole timer runs while the missing event is retried"
	lateIsDuplicate       fault = "a late event is dropped as duplicate"
	conflictIsDuplicate   fault = "a conflict is dropped as duplicate"
	holesForgotten        fault = "numbers given up leave no hole"
	aheadIsLast           fault = "last jumps to a number applied ahead"
	voidIgnored           fault = "a duplicate's number is not void"
	jumpIgnored           fault = "a far number is no jump"
	drainsOne             fault = "only one held event is drained"
	resetKeepsHeld        fault = "a reset keeps what is held"
	parkedIgnored         fault = "a parked entity is not asked about"
	redriveIgnoresFailure fault = "a letter that fails again is applied"
	fencingOff            fault = "an older owner is not fenced"
	commitPastHeld        fault = "the commit passes events held in memory"
	idsVolatile           fault = "a restart forgets the ids"
	outboxForgotten       fault = "a restart forgets pending effects"
	ledgerIgnored         fault = "a rebuild does not ask the ledger"
	futureMovesWatermark  fault = "a future event time moves the watermark"
)
