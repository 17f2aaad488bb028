import t from 'tap'
import { addressList } from '../../src/address-list/address-list.ts'
import { problemsOf } from '../../src/address-list/problems.ts'
import { defaultPolicy } from '../../src/rules/policy.ts'
import { createPool } from '../../src/vip/pools.ts'
import { claim, meshNamespace, service, serviceEntry, storeOf } from '../support/objects.ts'

const now = new Date('2026-03-13T09:00:00Z')
const address = '240.240.0.7'
const own = { externalIPs: [address] }

const claimedAt = (text: string) => {
  const object = claim(address, 'shop/a')
  return { ...object, metadata: { ...object.metadata, annotations: { 'meshvip.dev/claimed-at': text } } }
}

const problems = (objects: object[], { showsClaims = true, pools = defaultPolicy.pools } = {}) =>
  problemsOf(addressList(storeOf(meshNamespace('shop'), ...objects), { ...defaultPolicy, pools }), { now, showsClaims })

t.test('what is wrong with an address, and what is not', async (t) => {
  const rows: [story: string, objects: object[], problem: RegExp | undefined][] = [
    ['held', [service('a', own), claim(address, 'shop/a')], undefined],
    ['foreign', [serviceEntry('e', [address])], undefined],
    ['unclaimed', [service('a', own)], /^1 address is unclaimed \(240\.240\.0\.7\): one Service .*\. Fix: wait /],
    [
      'duplicate',
      [service('a', own), service('b', own)],
      /^1 address is duplicate .*: several .*\. Fix: leave it to one/,
    ],
    [
      'outside',
      [service('a', { externalIPs: ['192.0.2.7'] })],
      /^1 address is outside \(192\.0\.2\.7\): .*\. Fix: take it out of spec\.externalIPs: .* kubectl edit /,
    ],
    ['orphaned, of an age that nothing says', [claim(address, 'shop/a')], undefined],
    ['orphaned, and claimed ten minutes ago', [claimedAt('2026-03-13T08:50:00Z')], undefined],
    [
      'orphaned, and claimed before that',
      [claimedAt('2026-03-13T08:49:59Z')],
      /^1 address is orphaned \(240\.240\.0\.7\): it is claimed for .*\. Fix: wait .* kubectl delete ipaddress ADDRESS$/,
    ],
  ]
  for (const [story, objects, problem] of rows) {
    const found = problems(objects)
    t.equal(found.length, problem === undefined ? 0 : 1, story)
    if (problem !== undefined) t.match(found[0], problem, story)
  }
})

t.test('where no claims can be seen, an address without one is not wrong', async (t) => {
  t.strictSame(problems([service('a', own)], { showsClaims: false }), [])
  t.equal(problems([service('a', own), service('b', own)], { showsClaims: false }).length, 1, 'a duplicate is')
})

t.test('each kind is one line, which names the first few', async (t) => {
  const many = Array.from({ length: 4 }, (_, index) =>
    service(`s${index}`, { externalIPs: [`240.240.0.${index + 1}`] }),
  )
  const outside = service('o', { externalIPs: ['192.0.2.7'] })
  const [unclaimed, rest, ...more] = problems([...many, outside])
  t.match(unclaimed, '4 addresses are unclaimed (240.240.0.1, 240.240.0.2, 240.240.0.3, ...): ')
  t.match(rest, '1 address is outside (192.0.2.7): ')
  t.strictSame(more, [])
  t.match(problems(many.slice(1))[0], '3 addresses are unclaimed (240.240.0.2, 240.240.0.3, 240.240.0.4): ')
})

t.test('what a terminal would obey is not written to it', async (t) => {
  t.match(problems([service('a', { externalIPs: ['\u001b[31mred'] })])[0], '(\\u{1b}[31mred)')
})

t.test('a full pool is wrong, and one with an address left is not', async (t) => {
  const pools = [createPool({ cidr: '10.9.0.0/30' }), createPool({ cidr: '10.9.1.0/30' })]
  const entry = serviceEntry('e', ['10.9.0.1', '10.9.0.2', '10.9.1.1'])
  t.strictSame(problems([entry], { pools }), [
    'the pool 10.9.0.0/30 is full: no Service can be given an address of it. Fix: add a pool to the configuration (pools), or delete what is not needed',
  ])
})
