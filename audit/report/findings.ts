/** The checks of an audit, and all kinds of findings, in words for readers who do not know the code. */

interface CheckText {
  readonly title: string;
  readonly meaning: string;
  /** The unit of `checked`, in the plural. */
  readonly unit: string;
}

/** In the order of the report. */
export const CHECKS = {
  archive: {
    title: 'The archive is whole',
    meaning:
      'Each closed workflow left its recorded history in the archive. Every row is chained to the one before it by a hash, and the kept text hashes to what its row says.',
    unit: 'archive rows',
  },
  replay: {
    title: 'Every history replays',
    meaning:
      'The recorded history was run again through the workflow code, which had to take the same decisions in the same order: on the code of today, or on the kept code that decided it where the report says so.',
    unit: 'histories',
  },
  books: {
    title: 'Histories, ledger and deposits agree',
    meaning:
      'What a history decided stands in the ledger with the same wallet and amounts, and in the deposit’s row; and nothing stands there that no history decided.',
    unit: 'deposits and cases',
  },
  callbacks: {
    title: 'Every acknowledged callback has exactly one outcome',
    meaning: 'A message of the provider that was answered with success led to one posting or to one case for people.',
    unit: 'callbacks',
  },
  evidence: {
    title: 'Every credit has evidence',
    meaning:
      'Each credit rests on an authentic callback with the same facts, or on a decision of people: of two different ones wherever the limit that was frozen in the deposit asks for two, wherever a payment goes beside another, and wherever the two state what a callback does not say.',
    unit: 'credits and decisions',
  },
  ledger: {
    title: 'The ledger is sound',
    meaning:
      'Every posting balances and stands in the chain of blocks unchanged, every balance is the sum of its entries, all accounts together are zero, and suspense and clearing are explained.',
    unit: 'postings',
  },
  catalogue: {
    title: 'The database is the one that this version makes',
    meaning:
      'Functions, triggers, constraints, indexes, views, grants and roles are, line by line, those of this version’s migrations: no rule was switched off or replaced, and nobody may do more than he should.',
    unit: 'lines of the catalogue',
  },
} as const satisfies Readonly<Record<string, CheckText>>;
export type CheckId = keyof typeof CHECKS;
export const CHECK_IDS = Object.keys(CHECKS) as CheckId[];

interface FindingText {
  /** The check that reports it. */
  readonly check: CheckId;
  readonly title: string;
  readonly means: string;
  readonly todo: string;
}

const RESTORE = 'Find out who could write there and when; compare with a backup and with the heads in earlier reports.';
const STOP = 'Have operators examine the deposit and its evidence before more money moves on this wallet.';

/** All kinds of findings, each with one sentence on its meaning and one on its remedy; in the order of the checks. */
export const FINDINGS = {
  archive_row_changed: {
    check: 'archive',
    title: 'Archive row changed',
    means: 'A row of the archive does not hash to the value it was chained with: it was changed after it was written.',
    todo: RESTORE,
  },
  archive_row_missing: {
    check: 'archive',
    title: 'Archive row missing',
    means: 'The numbers of the archive have a gap: a row was taken away.',
    todo: RESTORE,
  },
  archive_order_broken: {
    check: 'archive',
    title: 'Archive rows out of order',
    means: 'A row does not continue the one before it: rows were swapped, inserted, or chained again.',
    todo: RESTORE,
  },
  chain_cut: {
    check: 'archive',
    title: 'Chain shorter than before',
    means: 'A chain does not pass through a head that was seen earlier: its end was cut off or rewritten.',
    todo: 'Find out whether an older backup was restored. If not, treat it as tampering.',
  },
  history_damaged: {
    check: 'archive',
    title: 'History changed',
    means: 'The stored text of a history does not hash to the value in its archive row: at least one byte was changed.',
    todo: RESTORE,
  },
  history_differs: {
    check: 'archive',
    title: 'Archived history is not Temporal’s',
    means:
      'Temporal still has this history, and it is not the one that the archive keeps: the archive was rewritten, with hashes made to fit.',
    todo: 'Save Temporal’s copy at once, before its retention ends; audit the deposit by it, and find out who could write to the archive.',
  },
  history_missing: {
    check: 'archive',
    title: 'History not in the archive',
    means: 'A deposit or a case is closed, and the archive has no history for it.',
    todo: 'Let the archive catch up and audit again. If Temporal does not have it any more, it is lost.',
  },
  history_lost: {
    check: 'archive',
    title: 'History lost',
    means: 'Temporal had removed the history before it was archived: this decision cannot be replayed any more.',
    todo: 'Judge the deposit by its callbacks, postings and decisions, which are still here; find out why archiving was late.',
  },
  archive_row_false: {
    check: 'archive',
    title: 'Archive row contradicts its history',
    means: 'The row says another workflow, run, time, number of events or bundle than the history that it names.',
    todo: RESTORE,
  },
  bundle_missing: {
    check: 'archive',
    title: 'Code of a decision not kept',
    means: 'The history names a bundle of workflow code that is not stored, or whose text does not hash to its name.',
    todo: 'Put the bundle back from the release it came from; its hash tells which one is right.',
  },
  replay_differs: {
    check: 'replay',
    title: 'History does not replay',
    means: 'The code does not do what the history says it did: either the history was changed, or the code was.',
    todo: 'Replay it on the bundle that decided it. If that fails too, the history was changed; otherwise add the exception or the patch.',
  },
  decision_differs: {
    check: 'replay',
    title: 'Replayed decision differs',
    means: 'The history replays, and yet the code decides other facts (amount, wallet, verdict) than were recorded.',
    todo: 'Find the change of the code that decides differently; it must be patched so that it does not reach back.',
  },
  times_contradict: {
    check: 'books',
    title: 'Times contradict each other',
    means: 'An event is recorded as earlier than its cause, or outside the life of its workflow.',
    todo: 'Look for a clock that was set, and for a time that was changed; the hashes tell which.',
  },
  posting_missing: {
    check: 'books',
    title: 'Posting missing',
    means: 'The history recorded a posting that is not in the ledger.',
    todo: 'Compare the ledger with a backup; the customer’s balance is probably wrong.',
  },
  posting_unexplained: {
    check: 'books',
    title: 'Posting without a decision',
    means: 'Money moved in the ledger, and no history decided that.',
    todo: STOP,
  },
  posting_differs: {
    check: 'books',
    title: 'Posting differs from its decision',
    means: 'The posting has another amount, fee, wallet, price or name than the history decided.',
    todo: STOP,
  },
  credited_twice: {
    check: 'evidence',
    title: 'Credited twice',
    means:
      'One deposit, or one transaction of the provider, was credited more than once; or two payments of a deposit are in wallets, and no two people put the one beside the other.',
    todo: STOP,
  },
  double_at_migration: {
    check: 'evidence',
    title: 'Two payments from before',
    means:
      'More than one payment of a deposit was in wallets before that needed two people who name the other one. No operator has confirmed it since.',
    todo: 'Compare with the provider’s statement. Undo a wrong credit by a doubt; write a right one into the list of exceptions, with the reason.',
  },
  deposit_row_differs: {
    check: 'books',
    title: 'Deposit row is not what happened',
    means: 'State, posting, lateness or times in the deposit’s row, which the API shows, differ from the history.',
    todo: 'The row is only a view; correct it from the history, and find out what changed it or failed to change it.',
  },
  link_differs: {
    check: 'books',
    title: 'Checkout link is another one',
    means: 'The row of a deposit leads customers to another address than the one that the provider answered with.',
    todo: 'Stop serving the deposit, warn the customers who were sent there, and find out who wrote to the database.',
  },
  attempt_differs: {
    check: 'books',
    title: 'Attempt at placing differs',
    means:
      'The recorded request for an order, its stamp, or the provider’s answer differs from the history, or is missing.',
    todo: 'Ask the provider for the order; find out who could delete or write attempts and stamps.',
  },
  notification_differs: {
    check: 'books',
    title: 'Notification of what did not happen',
    means: 'An event differs from what was posted, decided or shown, or one of these has no event.',
    todo: 'Stop its delivery and send the receiver the right facts; find out who wrote to the database.',
  },
  delivery_differs: {
    check: 'books',
    title: 'Delivery that differs from its attempts',
    means:
      'An event was not owed to an endpoint that wants it, or was sent out of order, in other words, or to another.',
    todo: 'Send the receiver the events of the deposit once more; find out who wrote to the database.',
  },
  deposit_unexplained: {
    check: 'books',
    title: 'Deposit without a history',
    means: 'There is a row for a deposit or a case, and no workflow that ever ran for it.',
    todo: 'Find out who wrote the row; no program of ours writes one without starting its workflow.',
  },
  history_unexplained: {
    check: 'books',
    title: 'History without a deposit',
    means: 'A workflow ran, and there is no row for its deposit or its case: the row was removed.',
    todo: 'Put the row back from a backup; the history has its content.',
  },
  callback_without_outcome: {
    check: 'callbacks',
    title: 'Acknowledged callback without an outcome',
    means: 'A message was acknowledged and has no outcome: a payment may have been lost.',
    todo: 'See whether the deposit is still being worked on; otherwise open a case for the callback.',
  },
  callback_with_two_outcomes: {
    check: 'callbacks',
    title: 'Callback with two outcomes',
    means: 'More than one posting or case goes back to one and the same message.',
    todo: STOP,
  },
  callback_outcome_differs: {
    check: 'callbacks',
    title: 'Callback’s outcome is not true',
    means: 'The posting or the case that a callback names does not exist, or is about another callback.',
    todo: 'Follow the transaction code through the ledger; compare with a backup.',
  },
  callback_changed: {
    check: 'callbacks',
    title: 'Callback changed',
    means: 'The stored message does not hash to the recorded value, or its fields differ from its bytes.',
    todo: RESTORE,
  },
  callback_unknown: {
    check: 'callbacks',
    title: 'Callback without a source',
    means: 'A callback is stored without a recorded authentic message, or claims an order that is not its own.',
    todo: STOP,
  },
  callback_not_sealed: {
    check: 'callbacks',
    title: 'Callback without a seal',
    means:
      'The API seals every message that it keeps. This row is newer than seals and has none: its writer is unknown.',
    todo: STOP,
  },
  seal_broken: {
    check: 'callbacks',
    title: 'Seal of a callback broken',
    means:
      'The seal is not one of a known key over this row: the row was changed, or its seal was made up or taken from another.',
    todo: STOP,
  },
  credit_without_evidence: {
    check: 'evidence',
    title: 'Credit without evidence',
    means: 'A wallet was credited without an authentic callback and without a decision of operators.',
    todo: STOP,
  },
  evidence_differs: {
    check: 'evidence',
    title: 'Credit differs from its evidence',
    means: 'The credited amount, currency, price or transaction code is not the one in the callback it rests on.',
    todo: STOP,
  },
  decided_by_one: {
    check: 'evidence',
    title: 'Decided by one person',
    means:
      'The frozen limit, or a payment beside another, or one that cannot be read, requires two different people, but one proposed and confirmed.',
    todo: 'Have a second person decide the case again; find out how the rule was bypassed.',
  },
  decision_unrecorded: {
    check: 'evidence',
    title: 'Decision not on record',
    means: 'The history, the tables of steps and outcomes, and the posting do not name the same operators and facts.',
    todo: RESTORE,
  },
  step_not_signed: {
    check: 'evidence',
    title: 'Step without its operator’s signature',
    means:
      'A recorded step has a signature that none of the operator’s keys made over it, or none where each step needs one.',
    todo: STOP,
  },
  key_unexplained: {
    check: 'evidence',
    title: 'API key not as it was made',
    means:
      'The log of keys, which nobody changes, does not say that this key was made or revoked so, or is broken itself.',
    todo: 'Revoke the key at once, and look at every step that was taken with it.',
  },
  block_broken: {
    check: 'ledger',
    title: 'Ledger chain broken',
    means: 'A block of the ledger does not hash to its value, or does not continue the one before it.',
    todo: RESTORE,
  },
  posting_unsealed: {
    check: 'ledger',
    title: 'Posting outside the ledger’s chain',
    means: 'A posting is in no block or in two, or a block names one that does not exist.',
    todo: RESTORE,
  },
  posting_unbalanced: {
    check: 'ledger',
    title: 'Posting does not balance',
    means: 'The entries of one posting do not add up to zero.',
    todo: RESTORE,
  },
  entries_differ: {
    check: 'ledger',
    title: 'Entries differ from their posting',
    means: 'Account or amount of an entry is not what its posting says: an entry was moved, changed, added or removed.',
    todo: RESTORE,
  },
  balance_differs: {
    check: 'ledger',
    title: 'Balance is not the sum of its entries',
    means: 'The kept balance of an account, or all accounts together, do not add up.',
    todo: 'Recompute the balances from the entries, and find out what wrote the wrong one.',
  },
  money_unexplained: {
    check: 'ledger',
    title: 'Suspense or clearing not explained',
    means: 'Money waits in suspense without an open case, or clearing has an amount that no posting explains.',
    todo: 'Go through the postings of the account; open a case for each without one.',
  },
  slot_differs: {
    check: 'ledger',
    title: 'Slot is not what stands in wallets',
    means:
      'The slot, which keeps a second payment of a deposit out of the wallets, does not name the newest payment there, or is gone: the next one could get in.',
    todo: STOP,
  },
  lineage_differs: {
    check: 'ledger',
    title: 'Chain of postings is not what its postings say',
    means: 'The table that says with which posting a chain begins contradicts the postings: money is shown elsewhere.',
    todo: RESTORE,
  },
  catalogue_differs: {
    check: 'catalogue',
    title: 'Not what this version makes',
    means:
      'A function, trigger, constraint, index, grant or role is not as the migrations of this version make it, or they were not applied as they are: the database’s checks and answers cannot be relied on.',
    todo: 'Find out who changed it and when, and what was possible meanwhile; bring it back by the migrations. A right change that stays goes into the list of exceptions, with the reason.',
  },
  not_readable: {
    check: 'replay',
    title: 'Could not be checked',
    means: 'Something that had to be checked could not be read: no access, no key, or not in a form that we know.',
    todo: 'Give the audit what it lacks and run it again. Until then nothing is proved about it.',
  },
} as const satisfies Readonly<Record<string, FindingText>>;
export type FindingKind = keyof typeof FINDINGS;
export const FINDING_KINDS = Object.keys(FINDINGS) as FindingKind[];
