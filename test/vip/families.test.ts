import t from 'tap'
import { parseService } from '../../src/api/service.ts'
import { missingFamilies, ownAddresses } from '../../src/vip/families.ts'
import { createPool } from '../../src/vip/pools.ts'
import { service } from '../support/objects.ts'

const v4 = createPool({ cidr: '10.0.0.0/24' })
const v6 = createPool({ cidr: 'fd00::/64' })

t.test('of the addresses that a Service has, the first of each family is its own', async (t) => {
  const own = (...addresses: string[]) => [...ownAddresses(addresses, [v4, v6])]
  t.strictSame(own('192.0.2.1', '10.0.0.7', '10.0.0.6', 'fd00::7', 'fd00::6'), [
    [4, '10.0.0.7'],
    [6, 'fd00::7'],
  ])
  t.strictSame(own('192.0.2.1', 'nonsense'), [])
})

t.test('of which families a virtual host lacks an address', async (t) => {
  const dual = { ipFamilyPolicy: 'RequireDualStack' }
  const preferred = { ipFamilyPolicy: 'PreferDualStack' }
  const single = { ipFamilyPolicy: 'SingleStack' }
  type Row = [story: string, spec: object, before: string[], pools: (typeof v4)[], expected: (4 | 6)[]]
  const rows: Row[] = [
    ['the first pool’s, where nothing says more', {}, [], [v4, v6], [4]],
    ['the first pool’s, also of the other order', single, [], [v6, v4], [6]],
    ['that of the cluster, once it is known', { ipFamilies: ['IPv6'] }, [], [v4, v6], [6]],
    ['the first pool’s, where there is none of the cluster’s', { ipFamilies: ['IPv6'] }, [], [v4], [4]],
    ['that which it had', { ipFamilies: ['IPv4'] }, ['fd00::7'], [v4, v6], [6]],
    ['none, where it has one', { externalIPs: ['10.0.0.7'], ipFamilies: ['IPv6'] }, [], [v4, v6], []],
    ['one, where it has one of no pool', { externalIPs: ['192.0.2.1'] }, [], [v4], [4]],
    ['both with dual stack', dual, [], [v4, v6], [4, 6]],
    ['both where dual stack is preferred', { ...preferred, ipFamilies: ['IPv4'] }, [], [v6, v4], [6, 4]],
    ['the other, where it has one', { ...dual, externalIPs: ['fd00::7'] }, [], [v4, v6], [4]],
    ['none, where it has both', { ...dual, externalIPs: ['fd00::7', '10.0.0.7'] }, [], [v4, v6], []],
    ['the only one that there is', dual, [], [v4], [4]],
    ['none, where there is no pool for it', dual, [], [], []],
    ['none either with single stack', {}, ['10.0.0.7'], [], []],
  ]
  for (const [story, spec, before, usable, expected] of rows) {
    const families = missingFamilies(parseService(service('orders', spec)), { externalIPs: before }, [v4, v6], usable)
    t.strictSame(families, expected, story)
  }
})
