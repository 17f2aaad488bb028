import { normalize, sep } from 'node:path'
import { shownName, shownProblem } from '../../rules/message.ts'
import type { Issue, Severity } from '../check.ts'

/** An issue with its texts as they may be shown: printable and bounded, like all that users wrote. */
export const shown = (issue: Issue): Issue => ({
  ...issue,
  object: shownName(issue.object),
  about: shownName(issue.about),
  problem: shownProblem(issue.problem),
  reason: shownProblem(issue.reason),
  fix: shownProblem(issue.fix),
  ...(issue.note === undefined ? {} : { note: shownProblem(issue.note) }),
})

/** What is wrong, why it fails and what to type, in one line. */
export const messageOf = (issue: Issue): string => {
  const { problem, reason, fix, note } = shown(issue)
  return `${problem}: ${reason}${note === undefined ? '' : ` (${note})`}. Fix: ${fix}`
}

export const countOf = (issues: readonly Issue[], severity: Severity): number =>
  issues.filter((issue) => issue.severity === severity).length

/** A path as those who compare it with the files of a repository have it: `/` between its parts, and no `./` before them. */
export const portablePath = (source: string): string => normalize(source).split(sep).join('/')
