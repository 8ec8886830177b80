# Builds NAME.llamafile from NAME.toml, and again when the recipe, its lock or a file that it names has changed.
#
#   include path/to/lfbuild.mk
#   all: chat.llamafile
#
# What was compiled or fetched before is taken from lfbuild's cache, so a change of the arguments only packs again.

LFBUILD ?= lfbuild
LFBUILD_FLAGS ?=
# Such as: --target host --locked --launcher ccache

%.llamafile: %.toml
	$(LFBUILD) build $< -o $@ --depfile $@.d $(LFBUILD_FLAGS)

-include $(wildcard *.llamafile.d)
