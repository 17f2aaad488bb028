import { shownProblem } from '../../rules/message.ts'
import type { Report } from '../check.ts'
import type { Surroundings } from './index.ts'
import { countOf, shown } from './shown.ts'

/** For programs; json-schema.ts says what they may rely on. */
export const formatJSON = (report: Report, { docsURL }: Pick<Surroundings, 'docsURL'>): string => {
  const { issues, unreadable, judged, objects } = report
  const list = {
    apiVersion: 'meshvip.dev/v1',
    kind: 'CheckReport',
    issues: issues.map((issue) => {
      const { severity, source, position, length, object, rule, field, about, problem, reason, fix, note } =
        shown(issue)
      const { line, column } = position
      const place = { source, line, column, endColumn: column + length }
      const noted = note === undefined ? {} : { note }
      return {
        severity,
        rule,
        page: `${docsURL}/${rule}`,
        ...place,
        object,
        field,
        about,
        problem,
        reason,
        fix,
        ...noted,
      }
    }),
    unreadable: unreadable.map(({ source, line, column, problem }) => ({
      source,
      line,
      column,
      problem: shownProblem(problem),
    })),
    summary: {
      errors: countOf(issues, 'error'),
      warnings: countOf(issues, 'warning'),
      notes: countOf(issues, 'note'),
      unreadable: unreadable.length,
      judged,
      objects,
    },
  }
  return `${JSON.stringify(list, undefined, 2)}\n`
}
