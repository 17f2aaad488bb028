import { untilAskedToStop } from '../../src/server/shutdown.ts'
import { findOrBuildBinaries } from './binaries.ts'
import { startControlPlane } from './control-plane.ts'
import { startWebhook } from './webhook.ts'

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
process.off('SIGINT', interrupt).off('SIGTERM', interrupt)
print(`
A Kubernetes API server with Istio's CRDs, and meshvip asked about every Service and VirtualService. There are no nodes and no
controllers: nothing runs, and a deleted namespace stays in Terminating.

  export KUBECONFIG=${controlPlane.kubeconfig}
  alias kubectl=${binaries.kubectl}

Then, for example, a virtual host with all that goes wrong by hand, and one without mistakes:

  kubectl apply -f examples/orders/destinations.yaml
  kubectl apply -f examples/mistakes.yaml
  kubectl apply -f examples/orders/virtual-host.yaml
  kubectl -n shop get services
  kubectl get ipaddresses

Ctrl-C ends it and leaves nothing behind.
`)
await untilAskedToStop()
await webhook.close()
await controlPlane.stop()
