import { Readable } from 'node:stream'
import { check, type Issue, type Report } from '../../src/check/check.ts'
import { readSources } from '../../src/manifests/sources.ts'
import { defaultPolicy } from '../../src/rules/policy.ts'

/** An issue such as the rules give, with what a test wants otherwise. */
export const issue = (own: Partial<Issue> = {}): Issue => ({
  severity: 'error',
  source: 'apps/orders.yaml',
  position: { line: 12, column: 13 },
  excerpt: '    - port: 80',
  length: 2,
  object: 'Service shop/orders',
  rule: 'service-port-80',
  field: 'spec.ports[0].port',
  about: '80',
  problem: 'port 80 is that of every virtual host',
  reason: 'hosts leak into each other',
  fix: 'pick another, such as 3100',
  ...own,
})

/** A report of these issues and unreadable documents, in which nothing else was read. */
export const report = (own: Partial<Report> = {}): Report => {
  const { issues = [], unreadable = [] } = own
  const names = new Set([...issues, ...unreadable].map(({ source }) => source))
  return {
    issues,
    unreadable,
    sources: [...names].map((name) => ({ name, objects: [] })),
    judged: 3,
    objects: 5,
    ...own,
  }
}

/** Texts that mean something to one of the formats, or to what shows it. */
export const hostileTexts = [
  'plain',
  'two words',
  '"double" and \'single\'',
  'a\nb\r\nc\td',
  '::error file=x,line=1::done\n::warning::more',
  '%0A%25',
  'a,b:c=d',
  ']]><!-- <b>&amp; & -->',
  '\0\u0001\u0008\u000b\u001b[31m\u007f\u0085',
  '\ufffe\uffff\ud800',
  '\u2028\u202e',
  'ünï/çødé 💥',
  'C:\\manifests\\orders.yaml',
  '\\\\server\\share\\x.yaml',
  '../up/x.yaml',
  './here/x.yaml',
  '/srv/of a/x[1].yaml?q#f%',
  '{{ .Values.host }}|^`',
  '__proto__',
  'x'.repeat(5_000),
]

/** Every hostile text in every place of a report where a user's text may be. */
export const hostileReport = report({
  issues: hostileTexts.map((text) =>
    issue({
      source: text,
      excerpt: text,
      object: text,
      field: text,
      about: text,
      problem: text,
      reason: text,
      fix: text,
      note: text,
    }),
  ),
  unreadable: hostileTexts.map((text) => ({ source: text, line: 1, column: 1, problem: text })),
})

/** What is found in the bad and good manifests of all rules. */
export const fixturesReport: Report = await check(readSources(['test/fixtures/rules'], Readable.from([])), {
  policy: defaultPolicy,
  namespace: 'shop',
  unlistedNamespacesSelected: true,
  complete: true,
})
