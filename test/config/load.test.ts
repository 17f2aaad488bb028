import fc from 'fast-check'
import t from 'tap'
import { ConfigurationError, loadPolicy } from '../../src/config/load.ts'
import { configurationSchema } from '../../src/config/schema.ts'
import { rules } from '../../src/rules/index.ts'
import { NamePattern } from '../../src/rules/name-pattern.ts'
import { defaultPolicy } from '../../src/rules/policy.ts'
import { thrown } from '../support/thrown.ts'

const load = (text: string) => loadPolicy(text, 'meshvip.yaml')

t.test('a configuration that says nothing means the defaults', async (t) => {
  for (const text of ['', '\n', '# nothing yet\n', '---\n', 'null', '{}', 'rules: {}']) {
    t.strictSame(load(text), defaultPolicy, JSON.stringify(text))
  }
})

t.test('the defaults are those of the runbook', async (t) => {
  const { actions: _, reservedPorts, ...others } = defaultPolicy
  t.strictSame(others, {
    clusterDomain: 'cluster.local',
    foreignHosts: [],
    rootNamespace: 'istio-system',
    virtualHosts: 'inferred',
    pools: [{ cidr: '240.240.0.0/16', family: 4, first: 0xf0f00000n, last: 0xf0f0ffffn, excluded: [] }],
    allowedExternalIPs: [],
    namespaceActions: [],
    enforcement: 'enforce',
    exemptions: [],
    dryRun: {
      missing: 'warn',
      mismatch: 'deny',
      batchFieldManagers: new Set(['kustomize-controller', 'helm-controller', 'argocd-controller']),
    },
    docsURL: 'https://meshvip.dev/rules',
  })
  t.equal(reservedPorts.get(15021)?.by, 'sidecar')
})

t.test('every rule has its actions', async (t) => {
  t.ok(rules.length > 0)
  for (const { id, defaults } of rules) t.strictSame(defaultPolicy.actions.get(id), defaults, id)
  t.equal(defaultPolicy.actions.size, rules.length)
})

t.test('the defaults that the schema tells are the true ones', async (t) => {
  const { properties } = configurationSchema
  const told = Object.entries<{ description?: string; default?: unknown }>(properties).filter(
    ([, property]) => property.default !== undefined,
  )
  t.strictSame(
    told.map(([name]) => name),
    [
      'clusterDomain',
      'foreignHosts',
      'rootNamespace',
      'virtualHosts',
      'pools',
      'allowedExternalIPs',
      'dryRun',
      'namespaces',
      'enforcement',
      'exemptions',
      'docsURL',
    ],
  )
  for (const [name, property] of told) {
    t.strictSame(load(JSON.stringify({ [name]: property.default })), defaultPolicy, name)
  }
  const ofRules = Object.entries(properties.rules.properties).map(([id, rule]) => [id, rule.default])
  t.strictSame(load(JSON.stringify({ rules: Object.fromEntries(ofRules) })), defaultPolicy)
})

t.test('a configuration is compiled whole', async (t) => {
  const policy = load(`
clusterDomain: corp.example
foreignHosts: ['*.east.svc.corp.example', legacy.example.com]
rootNamespace: mesh-config
virtualHosts: labelled
pools:
  - cidr: 240.241.0.0/16
  - cidr: 10.0.0.0/24
    exclude: [10.0.0.0/29, 10.0.0.8]
    namespaceSelector: { matchLabels: { team: shop } }
allowedExternalIPs: [192.0.2.0/24, fd00::/120]
reservedPorts:
  - { port: 15021, use: health checks }
  - { port: 15010, use: discovery, by: istiod }
dryRun: { missing: deny, mismatch: warn, batchFieldManagers: [flux] }
docsURL: https://docs.example.com/meshvip
`)
  t.strictSame(policy, {
    clusterDomain: 'corp.example',
    foreignHosts: ['*.east.svc.corp.example', 'legacy.example.com'],
    rootNamespace: 'mesh-config',
    virtualHosts: 'labelled',
    pools: [
      { cidr: '240.241.0.0/16', family: 4, first: 0xf0f10000n, last: 0xf0f1ffffn, excluded: [] },
      {
        cidr: '10.0.0.0/24',
        family: 4,
        first: 0x0a000000n,
        last: 0x0a0000ffn,
        excluded: [{ family: 4, first: 0x0a000000n, last: 0x0a000008n }],
        namespaceSelector: { matchLabels: { team: 'shop' } },
      },
    ],
    allowedExternalIPs: [
      { family: 4, first: 0xc0000200n, last: 0xc00002ffn },
      { family: 6, first: 0xfdn << 120n, last: (0xfdn << 120n) + 255n },
    ],
    reservedPorts: new Map([
      [15021, { use: 'health checks', by: 'sidecar' }],
      [15010, { use: 'discovery', by: 'istiod' }],
    ]),
    namespaceActions: [],
    enforcement: 'enforce',
    exemptions: [],
    dryRun: { missing: 'deny', mismatch: 'warn', batchFieldManagers: new Set(['flux']) },
    actions: defaultPolicy.actions,
    docsURL: 'https://docs.example.com/meshvip',
  })
})

t.test('JSON is a configuration too', async (t) => {
  t.equal(load('{"clusterDomain":"corp.example"}').clusterDomain, 'corp.example')
})

t.test('no port need be reserved', async (t) => {
  t.equal(load('reservedPorts: []').reservedPorts.size, 0)
})

t.test('a slash at the end of docsURL does not double', async (t) => {
  t.equal(load('docsURL: https://docs.example.com/').docsURL, 'https://docs.example.com')
})

t.test('the action of a rule', async (t) => {
  const defaults = { virtualHost: 'deny', other: 'off' }
  t.strictSame(defaultPolicy.actions.get('service-port-80'), defaults)
  const rows: [story: string, written: string, expected: object][] = [
    ['for all', 'warn', { virtualHost: 'warn', other: 'warn' }],
    ['off is a word, not a truth value', 'off', { virtualHost: 'off', other: 'off' }],
    ['for virtual hosts alone', '{ virtualHost: audit }', { virtualHost: 'audit', other: 'off' }],
    ['for others alone', '{ other: warn }', { virtualHost: 'deny', other: 'warn' }],
    ['for both', '{ virtualHost: audit, other: warn }', { virtualHost: 'audit', other: 'warn' }],
    ['for neither', '{}', defaults],
  ]
  for (const [story, written, expected] of rows) {
    const { actions } = load(`rules: { service-port-80: ${written} }`)
    t.strictSame(actions.get('service-port-80'), expected, story)
    t.strictSame(actions.get('service-vip-taken'), defaultPolicy.actions.get('service-vip-taken'), 'others stay')
    t.equal(actions.size, rules.length)
  }
  t.strictSame(defaultPolicy.actions.get('service-port-80'), defaults, 'the defaults stay')
})

t.test('a policy is not changed after it was compiled', async (t) => {
  t.equal(Object.isFrozen(load('')), true)
  t.equal(Object.isFrozen(defaultPolicy), true)
})

t.test('a configuration that is wrong says where, and what was expected', async (t) => {
  const actions = 'must be one of deny, warn, audit, off'
  const rows: [text: string, message: string][] = [
    ['text', '1:1: must be object'],
    ['- cidr', '1:1: must be object'],
    ['clusterDomain: 5', '1:16: clusterDomain: must be string'],
    [
      'clusterDomain: Corp',
      '1:16: clusterDomain: must match pattern "^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$"',
    ],
    [
      'nonsense:',
      '1:10: nonsense: there is no such field; there are clusterDomain, foreignHosts, rootNamespace, virtualHosts, pools, allowedExternalIPs, reservedPorts, dryRun, rules, namespaces, enforcement, exemptions, docsURL',
    ],
    ['rules: !!set {a}', '1:14: the tag tag:yaml.org,2002:set has no meaning here'],
    ['rules: !mine {}', '1:8: Unresolved tag: !mine at line 1, column 8:'],
    ['%YAML 1.1\n---\ndryRun: 2001-12-14', '1:1: write it in YAML 1.2, without a %YAML directive'],
    ['virtualHosts: some', '1:15: virtualHosts: must be one of inferred, labelled'],
    ['pools: []', '1:8: pools: must NOT have fewer than 1 items'],
    ['pools:\n  - cidr: 240.240.0.0/16\n  - {}', "3:5: pools[1]: must have required property 'cidr'"],
    ['pools:\n  - cidr: 5', '2:11: pools[0].cidr: must be string'],
    ['pools:\n  - cidr: x', '2:11: pools[0].cidr: x is no range in CIDR notation, such as 240.240.0.0/16'],
    [
      'pools:\n  - cidr: 10.0.0.0/24\n    exclude: [10.0.0.1, 10.1.0.0/24]',
      '3:25: pools[0].exclude[1]: 10.1.0.0/24 is no part of 10.0.0.0/24',
    ],
    [
      'pools:\n  - cidr: 10.0.0.0/24\n    exclude: [10.0.0.0/25, 10.0.0.128/25]',
      '3:14: pools[0].exclude: all of 10.0.0.0/24 is excluded',
    ],
    ['pools:\n  - cidr: fd00::/48\n  - cidr: fd00::/64', '3:11: pools[1].cidr: fd00::/64 overlaps the pool fd00::/48'],
    [
      'pools:\n  - cidr: 240.240.0.1/16',
      '2:11: pools[0].cidr: 240.240.0.1/16 has bits set after its prefix: did you mean 240.240.0.0/16?',
    ],
    ['pools:\n  - cidr: 10.0.0.0/31', '2:11: pools[0].cidr: 10.0.0.0/31 has no address beside its first and last one'],
    [
      'allowedExternalIPs:\n  - 192.0.2.0/24\n  - 192.0.2.1',
      '3:5: allowedExternalIPs[1]: 192.0.2.1 is no range in CIDR notation, such as 240.240.0.0/16',
    ],
    ['reservedPorts: [{ port: 0, use: x }]', '1:25: reservedPorts[0].port: must be >= 1'],
    ['reservedPorts: [{ port: 65536, use: x }]', '1:25: reservedPorts[0].port: must be <= 65535'],
    ['reservedPorts: [{ port: 1.5, use: x }]', '1:25: reservedPorts[0].port: must be integer'],
    ["reservedPorts: [{ port: 1, use: '' }]", '1:33: reservedPorts[0].use: must NOT have fewer than 1 characters'],
    ['reservedPorts: [{ port: 1 }]', "1:17: reservedPorts[0]: must have required property 'use'"],
    ['reservedPorts: [{ port: 1, use: x, by: me }]', '1:40: reservedPorts[0].by: must be one of sidecar, istiod'],
    ['rules:\n  service-port-80: refuse', `2:20: rules.service-port-80: ${actions}`],
    ['rules:\n  service-port-80: 5', `2:20: rules.service-port-80: ${actions}`],
    ['foreignHosts: ["*"]', '1:16: foreignHosts[0]: must match pattern "^(\\*\\.)?[a-z0-9]([-a-z0-9.]*[a-z0-9])?$"'],
    ['docsURL: docs.example.com', '1:10: docsURL: must match pattern "^https?://[!-~]+$"'],
  ]
  for (const [text, message] of rows) {
    t.equal(
      thrown(() => load(text)),
      `ConfigurationError: meshvip.yaml:${message}`,
      text,
    )
  }
})

t.test('text that is no YAML says where', async (t) => {
  const rows: [text: string, message: RegExp][] = [
    ['clusterDomain: a\npools: [', /^ConfigurationError: meshvip\.yaml:2:9: Flow sequence/],
    ['clusterDomain: a\nclusterDomain: b', /^ConfigurationError: meshvip\.yaml:2:1: Map keys must be unique/],
    ['a: b: c', /^ConfigurationError: meshvip\.yaml:1:4: Nested mappings are not allowed/],
    ['{}\n---\n{}', /^ConfigurationError: meshvip\.yaml:2:1: Source contains multiple documents/],
  ]
  for (const [text, message] of rows) {
    t.match(
      thrown(() => load(text)),
      message,
      text,
    )
    t.notMatch(
      thrown(() => load(text)),
      /\n/,
      'in one line',
    )
  }
})

t.test('pools that overlap are refused at the later one', async (t) => {
  const rows: [pools: string[], overlap: string | undefined][] = [
    [['10.0.0.0/24', '10.0.1.0/24'], undefined],
    [['10.0.1.0/24', '10.0.0.0/24'], undefined],
    [['10.0.0.0/24', '10.0.0.0/24'], 'pools[1].cidr: 10.0.0.0/24 overlaps the pool 10.0.0.0/24'],
    [['10.0.0.0/24', '10.0.0.0/25'], 'pools[1].cidr: 10.0.0.0/25 overlaps the pool 10.0.0.0/24'],
    [['10.0.0.128/25', '10.0.0.0/24'], 'pools[1].cidr: 10.0.0.0/24 overlaps the pool 10.0.0.128/25'],
    [['10.0.0.0/24', '10.0.2.0/24', '10.0.0.0/16'], 'pools[2].cidr: 10.0.0.0/16 overlaps the pool 10.0.0.0/24'],
  ]
  for (const [pools, overlap] of rows) {
    const text = `pools:\n${pools.map((cidr) => `  - cidr: ${cidr}\n`).join('')}`
    if (overlap === undefined) t.equal(load(text).pools.length, pools.length)
    else
      t.equal(
        thrown(() => load(text)),
        `ConfigurationError: meshvip.yaml:${pools.length + 1}:11: ${overlap}`,
      )
  }
})

t.test('a wrong value that stands behind an alias is told at the alias', async (t) => {
  t.equal(
    thrown(() => load('pools:\n  - &pool { cidr: 10.0.0.0/24 }\n  - *pool')),
    'ConfigurationError: meshvip.yaml:3:5: pools[1].cidr: 10.0.0.0/24 overlaps the pool 10.0.0.0/24',
  )
})

t.test('one that stands deeper behind it is told at the beginning', async (t) => {
  t.equal(
    thrown(() => load('virtualHosts: inferred\nallowedExternalIPs: &ranges [{ cidr: 5 }]\npools: *ranges')),
    'ConfigurationError: meshvip.yaml:1:1: pools[0].cidr: must be string',
  )
})

t.test('any action for any rule is a configuration, and what is no action is none', async () => {
  const ids = fc.constantFrom(...rules.map(({ id }) => id))
  const action = fc.constantFrom('deny', 'warn', 'audit', 'off')
  fc.assert(
    fc.property(ids, action, action, (id, virtualHost, other) => {
      const actions = load(JSON.stringify({ rules: { [id]: { virtualHost, other } } })).actions.get(id)
      return actions?.virtualHost === virtualHost && actions.other === other
    }),
  )
  fc.assert(
    fc.property(ids, fc.string(), (id, word) => {
      if (['deny', 'warn', 'audit', 'off'].includes(word)) return true
      try {
        load(JSON.stringify({ rules: { [id]: word } }))
        return false
      } catch (error) {
        return error instanceof ConfigurationError
      }
    }),
  )
})

t.test('a field that there is not says so, and which there are', async (t) => {
  const rows: [text: string, message: RegExp][] = [
    ['pool: []', /^ConfigurationError: meshvip\.yaml:1:7: pool: there is no such field; there are clusterDomain, /],
    [
      'pools: [{ cidr: 10.0.0.0/8, name: a }]',
      /^ConfigurationError: meshvip\.yaml:1:35: pools\[0\]\.name: there is no such field; there are cidr, exclude, namespaceSelector$/,
    ],
    ['rules: { service-port-81: deny }', /rules\.service-port-81: there is no such field; there are service-port-80, /],
    ['rules: { 80: deny }', /rules\.80: there is no such field; there are service-port-80, /],
  ]
  for (const [text, message] of rows)
    t.match(
      thrown(() => load(text)),
      message,
      text,
    )
})

t.test('the action of a rule that is wrong within is told within', async (t) => {
  t.match(
    thrown(() => load('rules:\n  service-port-80: { virtualHost: refuse }')),
    /^ConfigurationError: meshvip\.yaml:2:35: rules\.service-port-80\.virtualHost: must be one of deny, warn, audit, off$/,
  )
  t.match(
    thrown(() => load('rules:\n  service-port-80: { virtualhost: deny }')),
    /rules\.service-port-80\.virtualhost: there is no such field; there are virtualHost, other$/,
  )
})

t.test('an alias without anchor is a mistake in the file', async (t) => {
  t.match(
    thrown(() => load('pools: *nowhere')),
    /^ConfigurationError: meshvip\.yaml:1:8: no anchor &nowhere stands before it$/,
  )
})

t.test('a field with nothing behind it is as good as absent', async (t) => {
  t.strictSame(load('rules:\npools:\n  # - cidr: 10.0.0.0/8\n'), defaultPolicy)
})

t.test('aliases that explode are a mistake in the file', async (t) => {
  const levels = Array.from({ length: 12 }, (_, level) => `l${level + 1}: &l${level + 1} [${`*l${level}, `.repeat(9)}]`)
  t.match(
    thrown(() => load(['l0: &l0 x', ...levels].join('\n'))),
    /^ConfigurationError: meshvip\.yaml:1:1: Excessive alias count/,
  )
})

t.test('namespaces, enforcement and exemptions are compiled', async (t) => {
  const policy = load(`
enforcement: audit
namespaces:
  - selector: { matchLabels: { team: a }, matchExpressions: [{ key: env, operator: Exists }] }
    rules: { service-port-80: warn, service-port-name: { other: "off" } }
exemptions:
  - { rules: [service-port-*], namespaces: [a], names: [b], reason: moving, expires: 2028-02-29 }
  - { rules: [service-vip-taken], reason: known }
`)
  t.equal(policy.enforcement, 'audit')
  t.strictSame(policy.namespaceActions, [
    {
      selector: { matchLabels: { team: 'a' }, matchExpressions: [{ key: 'env', operator: 'Exists' }] },
      actions: new Map<string, object>([
        ['service-port-80', { virtualHost: 'warn', other: 'warn' }],
        ['service-port-name', { other: 'off' }],
      ]),
    },
  ])
  t.strictSame(policy.exemptions, [
    {
      rules: [new NamePattern('service-port-*')],
      namespaces: [new NamePattern('a')],
      names: [new NamePattern('b')],
      reason: 'moving',
      expires: new Date('2028-02-29T00:00:00Z'),
    },
    {
      rules: [new NamePattern('service-vip-taken')],
      namespaces: [new NamePattern('*')],
      names: [new NamePattern('*')],
      reason: 'known',
      expires: undefined,
    },
  ])
})

t.test('an exemption that can mean nothing says so', async (t) => {
  const exemption = (fields: string) => thrown(() => load(`exemptions:\n  - { reason: a, ${fields} }`))
  t.match(
    exemption('rules: [service-*, service-prt-80]'),
    /:2:\d+: exemptions\[0\]\.rules: no rule is called service-prt-80$/,
  )
  t.match(
    exemption('rules: [service-*], expires: 2026-02-30'),
    /:2:\d+: exemptions\[0\]\.expires: 2026-02-30 is no day$/,
  )
  t.match(exemption('rules: [service-*], expires: 2026-13-01'), /exemptions\[0\]\.expires: 2026-13-01 is no day$/)
  t.match(exemption('rules: [service-*], expires: soon'), /exemptions\[0\]\.expires: must match pattern/)
  t.match(exemption('rules: []'), /exemptions\[0\]\.rules: must NOT have fewer than 1 items/)
})

t.test('a file of many aliases or asterisks is no work', async (t) => {
  const before = process.cpuUsage()
  const aliases = Array.from({ length: 3_000 }, (_, index) => `k${index}: *x`).join('\n')
  t.match(
    thrown(() => load(`docsURL: &x https://docs.example\n${aliases}`)),
    /Excessive alias count|there is no such field/,
  )
  t.match(
    thrown(() => load(`exemptions:\n  - { reason: a, rules: ["${'*'.repeat(50)}x"] }`)),
    /no rule is called/,
  )
  const { user, system } = process.cpuUsage(before)
  t.ok(user + system < 2e6, `${user + system} microseconds`)
})
