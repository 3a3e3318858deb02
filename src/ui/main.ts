/** The page's entry: builds the coordinator, gives it to the developer's console and to tests, and shows it. */
import { browserHost } from '../vmm/browser.ts';
import { Coordinator } from '../vmm/index.ts';
import { App } from './app.ts';
import { confirmForeign } from './dialog.ts';
import './styles/index.css';

declare global {
  interface Window {
    /** The coordinator of this page: see the documentation of its methods in `src/vmm/coordinator.ts`. */
    tabvisor: Coordinator;
  }
}

const vmm = new Coordinator(browserHost({ confirmForeign }));
window.tabvisor = vmm;
if (vmm.obstacle === undefined) vmm.prepare();
const app = new App(vmm);
document.body.append(app.element);
void app.open(location.search);
