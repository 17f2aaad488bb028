import type { NamespacedName } from '../api/metadata.ts'
import type { NamePattern } from './name-pattern.ts'

/** What the owners of the cluster let pass: findings of some rules in some objects, for a reason, until a day. */
export type Exemption = {
  rules: readonly NamePattern[]
  namespaces: readonly NamePattern[]
  names: readonly NamePattern[]
  reason: string
  /** The moment from which on it does not hold any more; undefined where it holds for good. */
  expires: Date | undefined
}

const matches = (patterns: readonly NamePattern[], text: string): boolean =>
  patterns.some((pattern) => pattern.test(text))

/** The exemption that covers a rule's findings in an object; undefined where none does, or none any more. */
export const exemptionFor = (
  exemptions: readonly Exemption[],
  rule: string,
  { namespace, name }: NamespacedName,
  now: Date,
): Exemption | undefined =>
  exemptions.find(
    (exemption) =>
      matches(exemption.rules, rule) &&
      matches(exemption.namespaces, namespace) &&
      matches(exemption.names, name) &&
      (exemption.expires === undefined || now < exemption.expires),
  )

/** Why an exempted finding is let pass, for the reader. */
export const exemptionNote = ({ reason, expires }: Exemption): string =>
  `exempted${expires === undefined ? '' : ` until ${expires.toISOString().slice(0, 10)}`}: ${reason}`
