import type { Unreadable } from '../../manifests/sources.ts'
import { printable, shorten } from '../../rules/message.ts'
import type { Issue, Report, Severity } from '../check.ts'
import { manifestUnreadable } from '../manifest-rules.ts'
import { countOf } from './shown.ts'

/** How long a line of an excerpt may be. */
const maxExcerpt = 160

const colours: { readonly [S in Severity]: string } = { error: '31;1', warning: '33;1', note: '36;1' }

/** Texts in the colours of a terminal, or as they are. */
type Paint = (text: string, colour: string) => string

const coloured: Paint = (text, colour) => `\u001b[${colour}m${text}\u001b[0m`

export const plain: Paint = (text) => text

/** A line of a manifest with what is meant marked below it. A long one is cut, and begins where there is something to see. */
const excerptOf = ({ excerpt, position, length }: Issue, paint: Paint, colour: string): string[] => {
  const from = position.column + length <= maxExcerpt ? 0 : Math.max(position.column - 1 - maxExcerpt / 4, 0)
  const shown = printable(excerpt.slice(from, from + maxExcerpt).replaceAll('\t', ' '))
  const gutter = String(position.line)
  const before = printable(excerpt.slice(from, position.column - 1).replaceAll('\t', ' ')).length
  const marked = Math.max(Math.min(length, shown.length - before), 1)
  return [
    ` ${gutter} | ${shown}`,
    ` ${' '.repeat(gutter.length)} | ${' '.repeat(before)}${paint('^'.repeat(marked), colour)}`,
  ]
}

const ruleIn = (rule: string, paint: Paint): string => paint(`[${rule}]`, '2')

export const textOfIssue = (issue: Issue, paint: Paint): string => {
  const { severity, source, position, problem, reason, fix, rule, object, note } = issue
  const colour = colours[severity]
  const head = `${printable(source)}:${position.line}:${position.column}: ${paint(severity, colour)}: `
  return [
    `${head}${shorten(printable(problem), 1_000)} ${ruleIn(rule, paint)}`,
    ...excerptOf(issue, paint, colour),
    `   in:  ${printable(object)}${note === undefined ? '' : ` (${printable(note)})`}`,
    `   why: ${printable(reason)}`,
    `   fix: ${shorten(printable(fix), 1_000)}`,
    '',
  ].join('\n')
}

const count = (number: number, what: string): string => `${number} ${what}${number === 1 ? '' : 's'}`

export const textOfUnreadable = ({ source, line, column, problem }: Unreadable, paint: Paint): string =>
  `${printable(source)}:${line}:${column}: ${paint('unreadable', colours.error)}: ${shorten(printable(problem), 1_000)} ${ruleIn(manifestUnreadable.id, paint)}\n`

/** How much there was, in one line. */
export const summaryOf = ({ issues, unreadable, judged, objects }: Report): string => {
  const notes = countOf(issues, 'note')
  const found = [
    count(countOf(issues, 'error'), 'error'),
    count(countOf(issues, 'warning'), 'warning'),
    ...(notes > 0 ? [count(notes, 'note')] : []),
  ]
  const unread = unreadable.length > 0 ? [`${count(unreadable.length, 'document')} unreadable`] : []
  return `${[...found, ...unread].join(', ')} in ${judged === 1 ? '1 Service or VirtualService' : `${judged} Services and VirtualServices`} (${count(objects, 'object')})`
}

/** Like a compiler: where, what, the very line, why and what to type; at the end how much there was. */
export const formatText = (report: Report, isTerminal: boolean): string => {
  const paint = isTerminal ? coloured : plain
  return [
    ...report.issues.map((issue) => textOfIssue(issue, paint)),
    ...report.unreadable.map((one) => textOfUnreadable(one, paint)),
    summaryOf(report),
    '',
  ].join('\n')
}
