import { virtualHostLabel } from '../api/service.ts'
import type { Outcome, Verdict } from './judge.ts'

/** How many findings a denial lists; the rest is counted. */
export const maxFindings = 20

/** How long one finding may be; hosts and names come from users. */
const maxFindingLength = 1000

/** How long a name may be in a message or a log line: no object's, user's or request's is longer that is one. */
const maxNameLength = 300

/** The API server gives each warning this much once all of a request are longer than 4,096 (endpoints/filters/warning.go). */
export const maxWarningLength = 256

/** One line of printable ASCII: the API server drops a warning with a control character, and a terminal obeys it. */
export const printable = (text: string): string =>
  text.replace(/[^ -~]/g, (character) => `\\u{${character.charCodeAt(0).toString(16)}}`)

export const shorten = (text: string, length: number): string =>
  text.length <= length ? text : `${text.slice(0, length - 3)}...`

/** A name as it may be shown. */
export const shownName = (name: string): string => shorten(printable(name), maxNameLength)

/** A problem with something that cannot be read, as it may be shown. */
export const shownProblem = (problem: string): string => shorten(printable(problem), maxFindingLength)

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

/** How long all warnings of a review may be together; what is over the API server cuts (endpoints/filters/warning.go). */
const maxWarningsLength = 4096

/** The warnings of a review, as many as are shown, and how many more there are. */
export const warningTexts = (outcomes: readonly Outcome[]): string[] => {
  const warned = outcomes.filter(({ action }) => action === 'warn')
  const texts: string[] = []
  // What counts the rest needs its place, too.
  let room = maxWarningsLength - 'and 1000000 more findings'.length
  for (const outcome of warned) {
    const text = warningText(outcome)
    room -= text.length
    if (room < 0) return [...texts, `and ${warned.length - texts.length} more findings`]
    texts.push(text)
  }
  return texts
}

/** A finding for programs: what is wrong and what to do, bounded and printable like all that users wrote. */
export const causeText = ({ problem, fix }: Outcome): string =>
  shorten(printable(`${problem}. Fix: ${fix}`), maxFindingLength)

/** What a refused user reads. `object` is its kind and name: `Service shop/orders`. */
export const denialMessage = (object: string, { outcomes, inferred }: Verdict, docsURL: string): string => {
  const denied = outcomes.filter(({ action }) => action === 'deny')
  const shown = denied.slice(0, maxFindings).map((outcome) => `- ${findingText(outcome, docsURL)}`)
  const rest = denied.length - shown.length
  return [
    `${shownName(object)} is refused for ${denied.length === 1 ? 'one reason' : `${denied.length} reasons`}:`,
    ...shown,
    ...(rest > 0 ? [`- and ${rest} more`] : []),
    ...(inferred
      ? [
          `It counts as a virtual host, since it is a ClusterIP Service without selector in a namespace of the mesh. If it is none, label it ${virtualHostLabel}: "false".`,
        ]
      : []),
  ].join('\n')
}
