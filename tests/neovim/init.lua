-- Nothing but what editors/neovim/README.md tells users to do.
vim.opt.runtimepath:prepend(vim.env.LAYERWISE_EDITOR)
vim.opt.runtimepath:prepend(vim.env.LAYERWISE_RUNTIME)
vim.cmd.filetype('on')
vim.lsp.enable('layerwise')
