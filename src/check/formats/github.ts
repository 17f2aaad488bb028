import { shownName, shownProblem } from '../../rules/message.ts'
import type { Report, Severity } from '../check.ts'
import { manifestUnreadable } from '../manifest-rules.ts'
import { messageOf, portablePath } from './shown.ts'
import { summaryOf } from './text.ts'

const commands: { readonly [S in Severity]: string } = { error: 'error', warning: 'warning', note: 'notice' }

/** As GitHub's runner undoes it (actions/toolkit, packages/core/src/command.ts: escapeData, escapeProperty). */
const escapeData = (text: string): string => text.replaceAll('%', '%25').replaceAll('\r', '%0D').replaceAll('\n', '%0A')

const escapeProperty = (text: string): string => escapeData(text).replaceAll(':', '%3A').replaceAll(',', '%2C')

const command = (name: string, properties: Readonly<Record<string, string | number>>, message: string): string => {
  const written = Object.entries(properties).map(([key, value]) => `${key}=${escapeProperty(String(value))}`)
  return `::${name} ${written.join(',')}::${escapeData(message)}`
}

/**
 * Workflow commands, which GitHub shows beside the lines of a pull request. It shows ten errors and ten warnings of a step; the log has
 * all of them, with the summary below.
 */
export const formatGitHub = (report: Report): string => {
  const { issues, unreadable } = report
  const ofIssues = issues.map((issue) => {
    const { severity, source, position, length, object, rule } = issue
    const { line, column } = position
    const place = { file: portablePath(source), line, col: column, endColumn: column + length }
    return command(commands[severity], { ...place, title: rule }, `${shownName(object)}: ${messageOf(issue)}`)
  })
  const ofUnreadable = unreadable.map(({ source, line, column, problem }) =>
    command(
      'error',
      { file: portablePath(source), line, col: column, title: manifestUnreadable.id },
      shownProblem(problem),
    ),
  )
  return [...ofIssues, ...ofUnreadable, summaryOf(report), ''].join('\n')
}
