import type { Unreadable } from '../../manifests/sources.ts'
import { shownName, shownProblem } from '../../rules/message.ts'
import type { Issue, Report, Severity } from '../check.ts'
import { plain, textOfIssue, textOfUnreadable } from './text.ts'

const escapes: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' }

/** Text of XML 1.0, in which some characters cannot even be escaped (section 2.2, Char). */
const escapeText = (text: string): string =>
  text
    .replace(/[^\t\n\r -\ud7ff\ue000-\ufffd\u{10000}-\u{10ffff}]/gu, '\ufffd')
    .replace(/[&<>"]/g, (character) => String(escapes[character]))

/** In the value of an attribute a parser makes spaces of what is not escaped of these (section 3.3.3). */
const escapeAttribute = (text: string): string =>
  escapeText(text).replace(/[\t\n\r]/g, (character) => `&#${character.charCodeAt(0)};`)

type Attributes = Readonly<Record<string, string | number>>

const element = (name: string, attributes: Attributes, content: string): string => {
  const written = Object.entries(attributes).map(([key, value]) => ` ${key}="${escapeAttribute(String(value))}"`)
  return `<${name}${written.join('')}>${content}</${name}>`
}

const lines = (parts: readonly string[]): string => (parts.length === 0 ? '' : `\n${parts.join('\n')}\n`)

/** What there is to show of an object. */
type Outcome = 'passed' | 'skipped' | 'failure' | 'error'

type TestCase = { outcome: Outcome; xml: string }

const textOf = (issues: readonly Issue[]): string =>
  escapeText(issues.map((issue) => textOfIssue(issue, plain)).join('\n'))

/** From the gravest on. */
const severities: readonly Severity[] = ['error', 'warning', 'note']

/**
 * An object. That it has one whether or not there is anything wrong with it lets CI systems tell what was mended, and Jenkins take a
 * report without issues for one. What is wrong is in the content and not in attributes: where there is both, GitLab shows the content
 * alone (lib/gitlab/ci/parsers/test/junit.rb).
 *
 * Warnings are what is skipped: neither GitLab nor Jenkins has a word for a test that passed but not quite; of one that passed GitLab
 * shows no output, and skipped ones both count and show with their text, without failing. Notes are for whoever looks for them.
 */
const caseOf = (source: string, object: string, issues: readonly Issue[]): TestCase => {
  const worst = severities.find((severity) => issues.some((issue) => issue.severity === severity))
  const [gravest, others] = [
    issues.filter(({ severity }) => severity === worst),
    issues.filter(({ severity }) => severity !== worst),
  ]
  const output = (shown: readonly Issue[]) => (shown.length === 0 ? [] : [element('system-out', {}, textOf(shown))])
  const asCase = (outcome: Outcome, parts: readonly string[]): TestCase => ({
    outcome,
    xml: element('testcase', { classname: source, name: shownName(object) }, lines(parts)),
  })
  if (worst === 'error') {
    const message = shownProblem(gravest.map(({ problem }) => problem).join('; '))
    return asCase('failure', [element('failure', { message }, textOf(gravest)), ...output(others)])
  }
  if (worst === 'warning') return asCase('skipped', [element('skipped', {}, textOf(gravest)), ...output(others)])
  return asCase('passed', output(gravest))
}

const unreadableCase = (unreadable: Unreadable): TestCase => {
  const { source, line, problem } = unreadable
  const content = element('error', { message: shownProblem(problem) }, escapeText(textOfUnreadable(unreadable, plain)))
  return {
    outcome: 'error',
    xml: element('testcase', { classname: source, name: `document at line ${line}` }, lines([content])),
  }
}

const countOf = (cases: readonly TestCase[], outcome: Outcome): number =>
  cases.filter((one) => one.outcome === outcome).length

/** For the test reports of CI systems: a suite a source, and in it a test an object. */
export const formatJUnit = ({ issues, unreadable, sources }: Report): string => {
  const issuesOf = Map.groupBy(issues, ({ source }) => source)
  const unreadableOf = Map.groupBy(unreadable, ({ source }) => source)
  const suites = sources.map(({ name, objects }) => {
    const byObject = Map.groupBy(issuesOf.get(name) ?? [], ({ object }) => object)
    const cases = [...new Set([...objects, ...byObject.keys()])].map((object) =>
      caseOf(name, object, byObject.get(object) ?? []),
    )
    return { name, cases: [...cases, ...(unreadableOf.get(name) ?? []).map(unreadableCase)] }
  })
  const counts = (cases: readonly TestCase[]) => ({
    tests: cases.length,
    failures: countOf(cases, 'failure'),
    errors: countOf(cases, 'error'),
  })
  const content = suites.map(({ name, cases }) =>
    element(
      'testsuite',
      { name, ...counts(cases), skipped: countOf(cases, 'skipped') },
      lines(cases.map(({ xml }) => xml)),
    ),
  )
  const all = counts(suites.flatMap(({ cases }) => cases))
  return `<?xml version="1.0" encoding="UTF-8"?>\n${element('testsuites', { name: 'meshvip check', ...all }, lines(content))}\n`
}
