import fc from 'fast-check'
import t from 'tap'
import { elsewhere } from '../../src/istio/client.ts'
import { isPublic, isVisible, type Visibility, visibilityFrom } from '../../src/istio/visibility.ts'

t.test('how the sidecars of a namespace see an object of shop', async (t) => {
  const rows: [exportTo: string[], fromShop: Visibility, fromPayments: Visibility][] = [
    [[], 'public', 'public'],
    [['*'], 'public', 'public'],
    [['payments', '*'], 'public', 'public'],
    [['.'], 'private', 'hidden'],
    [['shop'], 'private', 'hidden'],
    [['payments'], 'hidden', 'exported'],
    [['.', 'payments'], 'private', 'exported'],
    [['stock'], 'hidden', 'hidden'],
    [['~'], 'hidden', 'hidden'],
  ]
  for (const [exportTo, fromShop, fromPayments] of rows) {
    const exported = { namespace: 'shop', name: 'orders', exportTo }
    t.equal(visibilityFrom('shop', exported), fromShop, `exported to ${exportTo}, from its own namespace`)
    t.equal(visibilityFrom('payments', exported), fromPayments, `exported to ${exportTo}, from another`)
  }
})

t.test('what any namespace sees is seen by all of them', async () => {
  const namespace = fc.constantFrom('shop', 'payments', 'stock')
  fc.assert(
    fc.property(namespace, fc.subarray(['.', '*', '~', 'shop', 'payments']), namespace, (own, exportTo, client) => {
      const exported = { namespace: own, name: 'orders', exportTo }
      return (
        isVisible(elsewhere, exported) === isPublic(exported) && (!isPublic(exported) || isVisible(client, exported))
      )
    }),
  )
})
