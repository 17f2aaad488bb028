import t from 'tap'
import { isAmbient, isInjected } from '../../src/istio/injection.ts'
import { reservedPorts } from '../../src/istio/ports.ts'

const portsOf = (owner: string) => [...reservedPorts].filter(([, { by }]) => by === owner).map(([port]) => port)

t.test('the ports of a sidecar', async (t) => {
  t.strictSame(portsOf('sidecar'), [15000, 15001, 15002, 15004, 15006, 15008, 15009, 15020, 15021, 15053, 15090])
})

t.test('the ports of istiod that are its own; 443 and 8080 are fine', async (t) => {
  t.strictSame(portsOf('istiod'), [15010, 15012, 15014, 15017])
})

t.test('every reserved port says what it is for, once, in ASCII', async (t) => {
  const uses = [...reservedPorts.values()].map(({ use }) => use)
  for (const use of uses) t.match(use, /^[ -~]+$/)
  t.equal(new Set(uses).size, 15)
})

t.test('a namespace is injected', async (t) => {
  const rows: [story: string, labels: Record<string, string>, expected: boolean][] = [
    ['when it says so', { 'istio-injection': 'enabled' }, true],
    ['when it names a revision', { 'istio.io/rev': 'stable' }, true],
    ['when it says both', { 'istio-injection': 'enabled', 'istio.io/rev': 'stable' }, true],
    ['but not when it says no', { 'istio-injection': 'disabled' }, false],
    ['not even with a revision', { 'istio-injection': 'disabled', 'istio.io/rev': 'stable' }, false],
    ['nor in another spelling', { 'istio-injection': 'Enabled' }, false],
    ['nor when it says nothing', { team: 'shop' }, false],
  ]
  for (const [story, labels, expected] of rows) t.equal(isInjected(new Map(Object.entries(labels))), expected, story)
})

t.test('a namespace is in ambient mode where it says so, and has no sidecars', async (t) => {
  const ambient = { 'istio.io/dataplane-mode': 'ambient' }
  const told = (labels: Record<string, string>) => isAmbient(new Map(Object.entries(labels)))
  t.equal(told(ambient), true)
  t.equal(told({ ...ambient, 'istio-injection': 'disabled' }), true)
  t.equal(told({ ...ambient, 'istio-injection': 'enabled' }), false)
  t.equal(told({ 'istio.io/dataplane-mode': 'none' }), false)
  t.equal(told({}), false)
})
