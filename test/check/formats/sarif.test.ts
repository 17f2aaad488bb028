import { readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { Ajv } from 'ajv'
import { fullFormats } from 'ajv-formats/dist/formats.js'
import fc from 'fast-check'
import t from 'tap'
import packageManifest from '../../../package.json' with { type: 'json' }
import type { Issue } from '../../../src/check/check.ts'
import { formats } from '../../../src/check/formats/index.ts'
import { manifestDuplicate, manifestKind, manifestUnreadable } from '../../../src/check/manifest-rules.ts'
import { rules } from '../../../src/rules/index.ts'
import { fixturesReport, hostileReport, issue, report } from '../../support/check-reports.ts'

const surroundings = { isTerminal: false, docsURL: 'https://docs.example/rules' }

/** The one run of a report. */
const run = (...args: Parameters<typeof report>) => JSON.parse(formats.sarif(report(...args), surroundings)).runs[0]

const schemaFile = fileURLToPath(import.meta.resolve('@microsoft/jest-sarif/lib/schemas/sarif-2.1.0-rtm.5.json'))

// It calls itself a schema of draft 4 and has nothing that draft 7 reads otherwise.
const { $schema, id, ...schema } = JSON.parse(await readFile(schemaFile, 'utf8'))

const validate = new Ajv({ strict: false, unicodeRegExp: false, allErrors: true, formats: fullFormats }).compile(schema)

const errorsIn = (text: string): unknown => (validate(JSON.parse(text)) ? undefined : validate.errors)

t.test('every report is valid SARIF 2.1.0', async (t) => {
  t.match(schema.title, 'SARIF')
  for (const [name, one] of Object.entries({ fixturesReport, hostileReport, empty: report() }))
    t.equal(errorsIn(formats.sarif(one, surroundings)), undefined, name)
  t.not(errorsIn('{"version":"2.1.0","runs":[{}]}'), undefined, 'the schema can be failed')
})

t.test('whatever users write, it is valid', async () => {
  const text = fc.string({ unit: 'binary' })
  fc.assert(
    fc.property(text, text, (name, problem) => {
      const sources = [name, `/${name}`, `apps/${name}`]
      const one = report({
        issues: sources.map((source) => issue({ source, problem })),
        unreadable: sources.map((source) => ({ source, problem, line: 1, column: 1 })),
      })
      return errorsIn(formats.sarif(one, surroundings)) === undefined
    }),
  )
})

t.test('it says of whom it is, and has all rules', async (t) => {
  const { driver } = run().tool
  t.match(driver, {
    name: 'meshvip',
    version: packageManifest.version,
    informationUri: 'https://docs.example/rules',
  })
  t.strictSame(
    driver.rules.map(({ id }: { id: string }) => id),
    [...rules.map(({ id }) => id), manifestKind.id, manifestDuplicate.id],
  )
  t.match(driver.notifications, [{ id: manifestUnreadable.id, helpUri: /manifest-unreadable$/ }])
  for (const [index, { id, finds, why, kinds, defaults }] of rules.entries()) {
    t.strictSame(driver.rules[index], {
      id,
      shortDescription: { text: finds },
      fullDescription: { text: why },
      help: { text: `${why}\n\nhttps://docs.example/rules/${id}` },
      helpUri: `https://docs.example/rules/${id}`,
      defaultConfiguration: { level: defaults.virtualHost === 'deny' ? 'error' : 'warning' },
      properties: { tags: kinds },
    })
  }
})

t.test('a result', async (t) => {
  const [result] = run({ issues: [issue({ severity: 'warning', rule: manifestKind.id, note: 'as agreed' })] }).results
  t.match(result.partialFingerprints, { 'finding/v1': /^[0-9a-f]{64}$/ })
  t.strictSame(
    { ...result, partialFingerprints: {} },
    {
      ruleId: manifestKind.id,
      ruleIndex: rules.length,
      level: 'warning',
      message: {
        text: 'port 80 is that of every virtual host: hosts leak into each other (as agreed). Fix: pick another, such as 3100',
      },
      locations: [
        {
          physicalLocation: {
            artifactLocation: { uri: 'apps/orders.yaml', uriBaseId: '%SRCROOT%' },
            region: { startLine: 12, startColumn: 13, endColumn: 15, snippet: { text: '80' } },
          },
          logicalLocations: [{ fullyQualifiedName: 'Service shop/orders spec.ports[0].port', kind: 'object' }],
        },
      ],
      partialFingerprints: {},
    },
  )
})

t.test('each result names its rule and its level', async (t) => {
  const severities = ['error', 'warning', 'note'] as const
  const issues = severities.flatMap((severity) => rules.map(({ id }) => issue({ severity, rule: id })))
  const { results, tool } = run({ issues })
  for (const [index, { ruleId, ruleIndex, level, message }] of results.entries()) {
    t.equal(tool.driver.rules[ruleIndex].id, ruleId)
    t.strictSame([ruleId, level], [issues[index]?.rule, issues[index]?.severity])
    t.equal(
      message.text,
      'port 80 is that of every virtual host: hosts leak into each other. Fix: pick another, such as 3100',
    )
  }
})

t.test('where a file is', async (t) => {
  const rows: [source: string, uri: string, uriBaseId?: string][] = [
    ['stdin', 'stdin'],
    ['orders.yaml', 'orders.yaml', '%SRCROOT%'],
    ['./apps//orders.yaml', 'apps/orders.yaml', '%SRCROOT%'],
    ['apps/my orders.yaml', 'apps/my%20orders.yaml', '%SRCROOT%'],
    ['../shared/x.yaml', '../shared/x.yaml', '%SRCROOT%'],
    ['a:b.yaml', 'a%3Ab.yaml', '%SRCROOT%'],
    ['C:\\apps\\x.yaml', 'C%3A%5Capps%5Cx.yaml', '%SRCROOT%'],
    ['100%?#[1].yaml', '100%25%3F%23%5B1%5D.yaml', '%SRCROOT%'],
    ['größe/💥.yaml', 'gr%C3%B6%C3%9Fe/%F0%9F%92%A5.yaml', '%SRCROOT%'],
    ['a\n"b".yaml', 'a%0A%22b%22.yaml', '%SRCROOT%'],
    ['\ud800.yaml', '%EF%BF%BD.yaml', '%SRCROOT%'],
    ['/srv/my apps/[1]^|?#%.yaml', 'file:///srv/my%20apps/%5B1%5D%5E%7C%3F%23%25.yaml'],
  ]
  for (const [source, uri, uriBaseId] of rows) {
    const { results, originalUriBaseIds } = run({ issues: [issue({ source })] })
    const { artifactLocation } = results[0].locations[0].physicalLocation
    t.strictSame([artifactLocation.uri, artifactLocation.uriBaseId], [uri, uriBaseId], source)
    if (uriBaseId !== undefined) t.ok(uriBaseId in originalUriBaseIds)
  }
})

t.test('a fingerprint is of what is found, wherever it stands', async (t) => {
  const fingerprint = (own: Partial<Issue>) =>
    run({ issues: [issue(own)] }).results[0].partialFingerprints['finding/v1']
  const known = fingerprint({})
  const same: Partial<Issue>[] = [
    { position: { line: 90, column: 1 } },
    { field: 'spec.ports[7].port' },
    { excerpt: 'port: "80"', length: 4 },
    { problem: 'worded otherwise', reason: 'and so', fix: 'is this', note: 'too' },
    { severity: 'note' },
    { source: 'moved/orders.yaml' },
  ]
  for (const own of same) t.equal(fingerprint(own), known, JSON.stringify(own))
  const others: Partial<Issue>[] = [
    { rule: 'service-type' },
    { object: 'Service shop/carts' },
    { about: '81' },
    { object: 'Service shop/orders80', about: '' },
  ]
  const all = others.map(fingerprint)
  t.equal(new Set([known, ...all]).size, others.length + 1, 'another finding has another')
})

t.test('what is unreadable is a notification, and the run no success', async (t) => {
  const [{ toolExecutionNotifications, executionSuccessful }] = run({
    unreadable: [{ source: 'my apps/x.yaml', line: 4, column: 7, problem: 'a tab\u001b' }],
  }).invocations
  t.equal(executionSuccessful, false)
  t.strictSame(toolExecutionNotifications, [
    {
      descriptor: { id: manifestUnreadable.id, index: 0 },
      level: 'error',
      message: { text: 'a tab\\u{1b}' },
      locations: [
        {
          physicalLocation: {
            artifactLocation: { uri: 'my%20apps/x.yaml', uriBaseId: '%SRCROOT%' },
            region: { startLine: 4, startColumn: 7 },
          },
        },
      ],
    },
  ])
  t.strictSame(run({ issues: [issue()] }).invocations, [{ executionSuccessful: true, toolExecutionNotifications: [] }])
})

t.test('a line without end is no snippet without end', async (t) => {
  const excerpt = 'x'.repeat(3_000_000)
  const { region } = run({ issues: [issue({ excerpt, length: 2_000_000 })] }).results[0].locations[0].physicalLocation
  t.equal(region.snippet.text.length, 1_000)
  t.equal(region.endColumn, 2_000_013)
})

t.test('what users wrote is bounded and printable in messages', async (t) => {
  const { results } = JSON.parse(formats.sarif(hostileReport, surroundings)).runs[0]
  for (const { message } of results) t.match(message.text, /^[ -~]{1,4100}$/)
})
