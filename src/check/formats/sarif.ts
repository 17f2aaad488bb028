import { createHash } from 'node:crypto'
import { isAbsolute } from 'node:path'
import { pathToFileURL } from 'node:url'
import packageManifest from '../../../package.json' with { type: 'json' }
import type { Unreadable } from '../../manifests/sources.ts'
import type { Action } from '../../rules/finding.ts'
import { rules } from '../../rules/index.ts'
import { shownProblem } from '../../rules/message.ts'
import { type Issue, type Report, type Severity, severities } from '../check.ts'
import { type ManifestRule, manifestDuplicate, manifestKind, manifestUnreadable } from '../manifest-rules.ts'
import type { Surroundings } from './index.ts'
import { messageOf, portablePath, shown } from './shown.ts'

const levels: { readonly [A in Action]: Severity | 'none' } = { ...severities, off: 'none' }

/** What code scanning shows of a rule. */
const descriptorOf = ({ id, finds, why }: Pick<ManifestRule, 'id' | 'finds' | 'why'>, docsURL: string) => ({
  id,
  shortDescription: { text: finds },
  fullDescription: { text: why },
  // What GitHub shows beside an alert.
  help: { text: `${why}\n\n${docsURL}/${id}` },
  helpUri: `${docsURL}/${id}`,
})

const rulesFor = (docsURL: string) => [
  ...rules.map((rule) => ({
    ...descriptorOf(rule, docsURL),
    defaultConfiguration: { level: levels[rule.defaults.virtualHost] },
    properties: { tags: rule.kinds },
  })),
  ...[manifestKind, manifestDuplicate].map((rule) => ({
    ...descriptorOf(rule, docsURL),
    defaultConfiguration: { level: 'warning' },
  })),
]

/** The name by which GitHub code scanning knows the root of a checkout. */
const root = '%SRCROOT%'

const artifactLocation = (source: string) => {
  if (source === 'stdin') return { uri: 'stdin', description: { text: 'the standard input' } }
  if (isAbsolute(source)) return { uri: pathToFileURL(source).href }
  const parts = portablePath(source.toWellFormed()).split('/')
  return { uri: parts.map(encodeURIComponent).join('/'), uriBaseId: root }
}

/** A line of generated JSON may be all that there is. */
const maxSnippet = 1_000

const resultOf = (issue: Issue, ruleIndex: number) => {
  const { severity, rule, source, position, length, excerpt, object, about, field } = issue
  const { line: startLine, column: startColumn } = position
  const marked = excerpt.slice(startColumn - 1, startColumn - 1 + Math.min(length, maxSnippet))
  const place = `${shown(issue).object} ${field}`
  return {
    ruleId: rule,
    ruleIndex,
    level: severity,
    message: { text: messageOf(issue) },
    locations: [
      {
        physicalLocation: {
          artifactLocation: artifactLocation(source),
          region: { startLine, startColumn, endColumn: startColumn + length, snippet: { text: marked } },
        },
        logicalLocations: [{ fullyQualifiedName: place, kind: 'object' }],
      },
    ],
    // Not GitHub's primaryLocationLineHash: its upload makes that itself, and warns of every one that it would have made otherwise
    // (codeql-action, src/fingerprints.ts).
    partialFingerprints: {
      'finding/v1': createHash('sha256')
        .update(JSON.stringify([rule, object, about]))
        .digest('hex'),
    },
  }
}

const notificationOf = ({ source, line, column, problem }: Unreadable) => ({
  descriptor: { id: manifestUnreadable.id, index: 0 },
  level: 'error',
  message: { text: shownProblem(problem) },
  locations: [
    {
      physicalLocation: {
        artifactLocation: artifactLocation(source),
        region: { startLine: line, startColumn: column },
      },
    },
  ],
})

/** SARIF 2.1.0, for code scanning. */
export const formatSARIF = ({ issues, unreadable }: Report, { docsURL }: Pick<Surroundings, 'docsURL'>): string => {
  const described = rulesFor(docsURL)
  const indices = new Map(described.map(({ id }, index) => [id, index]))
  const log = {
    $schema: 'https://json.schemastore.org/sarif-2.1.0.json',
    version: '2.1.0',
    runs: [
      {
        tool: {
          driver: {
            name: packageManifest.name,
            version: packageManifest.version,
            informationUri: docsURL,
            rules: described,
            notifications: [descriptorOf(manifestUnreadable, docsURL)],
          },
        },
        columnKind: 'utf16CodeUnits',
        originalUriBaseIds: { [root]: { description: { text: 'the folder in which meshvip was started' } } },
        invocations: [
          {
            executionSuccessful: unreadable.length === 0,
            toolExecutionNotifications: unreadable.map(notificationOf),
          },
        ],
        results: issues.map((issue) => resultOf(issue, indices.get(issue.rule) as number)),
      },
    ],
  }
  return `${JSON.stringify(log, undefined, 2)}\n`
}
