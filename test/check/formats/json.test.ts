import { Ajv } from 'ajv'
import fc from 'fast-check'
import t from 'tap'
import { formats } from '../../../src/check/formats/index.ts'
import { checkReportSchema } from '../../../src/check/formats/json-schema.ts'
import { fixturesReport, hostileReport, issue, report } from '../../support/check-reports.ts'

const surroundings = { isTerminal: false, docsURL: 'https://docs.example/rules' }

const format = (...args: Parameters<typeof report>) => JSON.parse(formats.json(report(...args), surroundings))

/** The schema without room for what it does not name, so that nothing is written that is not documented. */
const closed = (schema: unknown): unknown => {
  if (typeof schema !== 'object' || schema === null || Array.isArray(schema)) return schema
  const inner = Object.fromEntries(Object.entries(schema).map(([key, value]) => [key, closed(value)]))
  return inner.type === 'object' ? { ...inner, additionalProperties: false } : inner
}

const isDocumented = new Ajv({ allErrors: true }).compile(closed(checkReportSchema) as object)

const isValid = new Ajv().compile(checkReportSchema)

t.test('all of a report is in it', async (t) => {
  const unreadable = { source: 'a.yaml', line: 3, column: 5, problem: 'a tab' }
  t.strictSame(
    format({
      issues: [
        issue(),
        issue(),
        issue({ severity: 'warning', note: 'exempt until spring' }),
        ...[1, 2, 3].map(() => issue({ severity: 'note' })),
      ],
      unreadable: [unreadable],
    }),
    {
      apiVersion: 'meshvip.dev/v1',
      kind: 'CheckReport',
      issues: (['error', 'error', 'warning', 'note', 'note', 'note'] as const).map((severity) => ({
        severity,
        rule: 'service-port-80',
        page: 'https://docs.example/rules/service-port-80',
        source: 'apps/orders.yaml',
        line: 12,
        column: 13,
        endColumn: 15,
        object: 'Service shop/orders',
        field: 'spec.ports[0].port',
        about: '80',
        problem: 'port 80 is that of every virtual host',
        reason: 'hosts leak into each other',
        fix: 'pick another, such as 3100',
        ...(severity === 'warning' ? { note: 'exempt until spring' } : {}),
      })),
      unreadable: [unreadable],
      summary: { errors: 2, warnings: 1, notes: 3, unreadable: 1, judged: 3, objects: 5 },
    },
  )
})

t.test('every report is what the schema documents', async (t) => {
  for (const [name, one] of Object.entries({ fixturesReport, hostileReport, empty: report() })) {
    t.ok(isDocumented(JSON.parse(formats.json(one, surroundings))), name)
    t.strictSame(isDocumented.errors, null)
  }
  t.ok(fixturesReport.issues.length > 30, 'the fixtures are full of issues')
})

t.test('what the schema promises cannot be left out', async (t) => {
  const full = format({
    issues: [issue({ note: 'n' })],
    unreadable: [{ source: 'a', line: 1, column: 1, problem: 'p' }],
  })
  const optional = ['note']
  const parts: [part: (whole: typeof full) => object][] = [
    [(whole) => whole],
    [(whole) => whole.issues[0]],
    [(whole) => whole.unreadable[0]],
    [(whole) => whole.summary],
  ]
  for (const [part] of parts)
    for (const key of Object.keys(part(full))) {
      const copy = structuredClone(full)
      Reflect.deleteProperty(part(copy), key)
      t.equal(isValid(copy), optional.includes(key), key)
    }
})

t.test('texts of users are bounded and printable, and their paths as they are', async (t) => {
  const { issues, unreadable } = JSON.parse(formats.json(hostileReport, surroundings))
  for (const { object, about, problem, reason, fix, note } of issues)
    for (const text of [object, about, problem, reason, fix, note]) t.match(text, /^[ -~]{1,1000}$/)
  for (const { problem } of unreadable) t.match(problem, /^[ -~]{1,1000}$/)
  t.strictSame(
    issues.map(({ source }: { source: string }) => source),
    hostileReport.issues.map(({ source }) => source),
  )
})

t.test('whatever users write, it is the JSON that is documented', async () => {
  const text = fc.string({ unit: 'binary' })
  fc.assert(
    fc.property(text, text, (source, problem) => {
      const one = report({ issues: [issue({ source, problem })] })
      return isDocumented(JSON.parse(formats.json(one, surroundings)))
    }),
  )
})
