/** What the rules of addresses say where there is more than the one pool of the defaults. */
import t from 'tap'
import { parseCidr } from '../../src/api/address.ts'
import { parseService } from '../../src/api/service.ts'
import { judgeService } from '../../src/rules/judge.ts'
import { defaultPolicy } from '../../src/rules/policy.ts'
import { createPool } from '../../src/vip/pools.ts'
import { meshNamespace, service, storeOf } from '../support/objects.ts'

const ofStock = { matchLabels: { team: 'stock' } }

const policy = {
  ...defaultPolicy,
  pools: [
    createPool({ cidr: '10.9.0.0/24', exclude: ['10.9.0.0/28', '10.9.0.77'] }),
    createPool({ cidr: '10.9.1.0/24', namespaceSelector: ofStock }),
    createPool({ cidr: 'fd00::/112' }),
  ],
  allowedExternalIPs: [parseCidr('10.9.0.8/30')],
}

const view = storeOf(meshNamespace('shop'))

const judged = (spec: object, { pools = policy.pools } = {}) =>
  judgeService(parseService(service('orders', spec)), undefined, {
    view,
    policy: { ...policy, pools },
    dryRun: false,
    batch: false,
    claimed: false,
    now: new Date('2026-03-01T12:00:00Z'),
  }).outcomes.map(({ rule, field, problem }) => `${rule} ${field}: ${problem}`)

t.test('what is said of the addresses of a virtual host', async (t) => {
  const rows: [story: string, spec: object, expected: string[]][] = [
    ['one of a pool', { externalIPs: ['10.9.0.200'] }, []],
    ['one of an IPv6 pool', { externalIPs: ['fd00::7'] }, []],
    ['one of each family', { externalIPs: ['fd00::7', '10.9.0.200'] }, []],
    [
      'two of one family',
      { externalIPs: ['fd00::7', '10.9.0.200', 'fd00::8'] },
      ['service-vip-taken spec.externalIPs[2]: fd00::8 is another address of the pools beside the first of its family'],
    ],
    [
      'what a pool excludes',
      { externalIPs: ['10.9.0.77', '10.9.0.200'] },
      ['service-vip-outside-pool spec.externalIPs[0]: 10.9.0.77 is excluded from the pool 10.9.0.0/24'],
    ],
    ['what a pool excludes and the owners allow', { externalIPs: ['10.9.0.9', '10.9.0.200'] }, []],
    [
      'what is of a pool for other namespaces',
      { externalIPs: ['10.9.1.7'] },
      [
        'service-vip-outside-pool spec.externalIPs[0]: 10.9.1.7 is of the pool 10.9.1.0/24, which is not for namespace shop',
      ],
    ],
    [
      'the first address of an IPv6 pool',
      { externalIPs: ['fd00::', 'fd00::7'] },
      [
        'service-vip-outside-pool spec.externalIPs[0]: fd00:: is the first address of fd00::/112, which nobody is given',
      ],
    ],
    [
      'one of two with dual stack',
      { externalIPs: ['fd00::7'], ipFamilyPolicy: 'PreferDualStack' },
      ['service-vip-missing spec.externalIPs: the virtual host has no address of 10.9.0.0/24'],
    ],
    [
      'none with dual stack',
      { ipFamilyPolicy: 'RequireDualStack' },
      [
        'service-vip-missing spec.externalIPs: the virtual host has no address of 10.9.0.0/24',
        'service-vip-missing spec.externalIPs: the virtual host has no address of fd00::/112',
      ],
    ],
    ['none', {}, ['service-vip-missing spec.externalIPs: the virtual host has no address of 10.9.0.0/24']],
  ]
  for (const [story, spec, expected] of rows) t.strictSame(judged(spec), expected, story)
})

t.test('where no pool is for the namespace, that is said', async (t) => {
  const pools = [createPool({ cidr: '10.9.1.0/24', namespaceSelector: ofStock })]
  t.strictSame(judged({}, { pools }), [
    'service-vip-missing spec.externalIPs: no pool is for namespace shop, so that the virtual host has no address',
  ])
})
