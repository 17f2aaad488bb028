import { untilAskedToStop } from '../../src/server/shutdown.ts'
import { findOrBuildBinaries } from './binaries.ts'
import { startControlPlane } from './control-plane.ts'
import { apply, startWebhook } from './webhook.ts'

const print = (line: string): void => {
  process.stdout.write(`${line}\n`)
}

const binaries = await findOrBuildBinaries(print)
if ('missing' in binaries) {
  process.stderr.write(`playground: ${binaries.missing}\n`)
  process.exit(2)
}
// Until everything stands, an interrupt ends us by exit, which takes the servers along.
const interrupt = () => process.exit(130)
process.once('SIGINT', interrupt).once('SIGTERM', interrupt)
print('starting etcd and kube-apiserver ...')
const controlPlane = await startControlPlane(binaries)
const webhook = await startWebhook(controlPlane, { log: { write: () => {} } })
await apply(
  controlPlane,
  JSON.stringify({
    apiVersion: 'v1',
    kind: 'Namespace',
    metadata: { name: 'shop', labels: { 'istio-injection': 'enabled' } },
  }),
)
process.off('SIGINT', interrupt).off('SIGTERM', interrupt)
print(`
A Kubernetes API server with Istio's CRDs, and meshvip asked about every Service and VirtualService. There are no nodes and no
controllers: nothing runs, and a deleted namespace stays in Terminating. The namespace shop is part of the mesh.

  export KUBECONFIG=${controlPlane.kubeconfig}
  alias kubectl=${binaries.kubectl}

Then, for example, a Service with a mistake, and the same without it:

  kubectl -n shop create service clusterip orders --tcp=80 --dry-run=server
  kubectl apply -f examples/orders.yaml
  kubectl -n shop get services
  kubectl get ipaddresses

Ctrl-C ends it and leaves nothing behind.
`)
await untilAskedToStop()
await webhook.close()
await controlPlane.stop()
