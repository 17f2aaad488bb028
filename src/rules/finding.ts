/** `deny` refuses; `warn` admits, and kubectl prints it; `audit` admits and records; `off` does not look. */
export type Action = 'deny' | 'warn' | 'audit' | 'off'

/** Something that a rule found in an object. The texts are ASCII, one line each, without a closing full stop. */
export type Finding = {
  /** The id of the rule that found it. */
  rule: string
  /** The field's path in Kubernetes' notation: `spec.http[0].route[1].destination.port.number`. */
  field: string
  /**
   * What it is about, by name and never by list index: `80`, `orders.shop.svc.cluster.local`. With the rule it tells whether the
   * object had the same finding before an update.
   */
  about: string
  /** What is wrong. */
  problem: string
  /** Why it fails. */
  reason: string
  /** What to type. */
  fix: string
  /** The most that may come of it, where that is less than the rule's own action. */
  atMost?: 'warn'
  /** What it misses may come a moment later, with the rest of the same batch. */
  missing?: true
  /** What it contradicts is in another object, which may change in the same batch. */
  mismatch?: true
  /** It is so because mutation did nothing, as it does for an object that is refused: beside another reason it is none. */
  fromMutation?: true
}

/** What a rule's check() gives; the engine adds the rule's id. */
export type RuleFinding = Omit<Finding, 'rule'>

/** The same rule about the same thing: how a finding is recognised in the object before an update. */
export const identity = ({ rule, about }: Finding): string => `${rule} ${about}`

/** The same in the same place: how a finding is recognised among those for other clients and other roots of one object. */
export const placedIdentity = (finding: Finding): string => `${identity(finding)} ${finding.field}`

/** A finding, and what its rule does for the object in which it is. */
export type Found = { finding: Finding; action: Exclude<Action, 'off'> }
