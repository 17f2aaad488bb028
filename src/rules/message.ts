import { virtualHostLabel } from '../api/service.ts'
import type { Outcome, Verdict } from './judge.ts'

/** How many findings a denial lists; the rest is counted. */
const maxFindings = 20

/** How long one finding may be; hosts and names come from users. */
const maxFindingLength = 1000

/** The API server gives each warning this much once all of a request are longer than 4,096 (endpoints/filters/warning.go). */
const maxWarningLength = 256

/** One line of printable ASCII: the API server drops a warning with a control character, and a terminal obeys it. */
const printable = (text: string): string =>
  text.replace(/[^ -~]/g, (character) => `\\u{${character.charCodeAt(0).toString(16)}}`)

const shorten = (text: string, length: number): string =>
  text.length <= length ? text : `${text.slice(0, length - 3)}...`

/** A finding as one line: where, what is wrong, why it fails, what to type, by which rule and where to read on. */
export const findingText = (outcome: Outcome, docsURL: string): string => {
  const { field, problem, reason, fix, rule } = outcome
  const text = printable(`${field}: ${problem}: ${reason}. Fix: ${fix}`)
  return `${shorten(text, maxFindingLength)} [${rule}] ${docsURL}/${rule}`
}

/** A finding as kubectl prints it behind "Warning:". What matters least, the reason, goes first when it is too long. */
export const warningText = ({ field, problem, reason, fix, rule, note }: Outcome): string => {
  const tail = ` [${rule}]`
  const head = `${field}: ${problem}`
  const noted = note === undefined ? '' : ` (${note})`
  const full = printable(`${head}: ${reason}${noted}. Fix: ${fix}`)
  const short = full.length + tail.length <= maxWarningLength ? full : printable(`${head}${noted}. Fix: ${fix}`)
  return shorten(short, maxWarningLength - tail.length) + tail
}

/** What a refused user reads. `object` is its kind and name: `Service shop/orders`. */
export const denialMessage = (object: string, { outcomes, inferred }: Verdict, docsURL: string): string => {
  const denied = outcomes.filter(({ action }) => action === 'deny')
  const shown = denied.slice(0, maxFindings).map((outcome) => `- ${findingText(outcome, docsURL)}`)
  const rest = denied.length - shown.length
  return [
    `${printable(object)} is refused for ${denied.length === 1 ? 'one reason' : `${denied.length} reasons`}:`,
    ...shown,
    ...(rest > 0 ? [`- and ${rest} more`] : []),
    ...(inferred
      ? [
          `It counts as a virtual host, since it is a ClusterIP Service without selector in a namespace of the mesh. If it is none, label it ${virtualHostLabel}: "false".`,
        ]
      : []),
  ].join('\n')
}
